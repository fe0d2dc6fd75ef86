# Source this file in csh or tcsh: source bin/activate.csh
# Made by venvfs.

alias deactivate 'test $?_VENVFS_OLD_PATH != 0 && setenv PATH "$_VENVFS_OLD_PATH" && unset _VENVFS_OLD_PATH; rehash; test $?_VENVFS_OLD_PROMPT != 0 && set prompt="$_VENVFS_OLD_PROMPT" && unset _VENVFS_OLD_PROMPT; unsetenv VIRTUAL_ENV; unsetenv VIRTUAL_ENV_PROMPT; test "\!:*" != "nondestructive" && unalias deactivate && unalias pydoc'

# An environment that is still active is left first.
deactivate nondestructive

setenv VIRTUAL_ENV @VENV@
setenv VIRTUAL_ENV_PROMPT @PROMPT@

set _VENVFS_OLD_PATH="$PATH:q"
setenv PATH "$VIRTUAL_ENV:q/bin:$PATH:q"

if ( ! $?VIRTUAL_ENV_DISABLE_PROMPT && $?prompt ) then
    set _VENVFS_OLD_PROMPT="$prompt:q"
    set prompt="($VIRTUAL_ENV_PROMPT:q) $prompt:q"
endif

alias pydoc python -m pydoc

rehash
