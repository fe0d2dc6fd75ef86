# Source this file in fish: source bin/activate.fish
# Made by venvfs.

function deactivate --description 'Leave the virtual environment'
    if set -q _VENVFS_OLD_PATH
        set -gx PATH $_VENVFS_OLD_PATH
        set -e _VENVFS_OLD_PATH
    end
    if set -q _VENVFS_OLD_PYTHONHOME
        set -gx PYTHONHOME $_VENVFS_OLD_PYTHONHOME
        set -e _VENVFS_OLD_PYTHONHOME
    end
    if functions -q _venvfs_old_fish_prompt
        functions -e fish_prompt
        functions -c _venvfs_old_fish_prompt fish_prompt
        functions -e _venvfs_old_fish_prompt
    end
    set -e VIRTUAL_ENV
    set -e VIRTUAL_ENV_PROMPT
    if test "$argv[1]" != nondestructive
        functions -e deactivate pydoc
    end
end

# An environment that is still active is left first.
deactivate nondestructive

set -gx VIRTUAL_ENV @VENV@
set -gx VIRTUAL_ENV_PROMPT @PROMPT@

set -g _VENVFS_OLD_PATH $PATH
set -gx PATH "$VIRTUAL_ENV/bin" $PATH

# PYTHONHOME would lead the interpreter away from this environment.
if set -q PYTHONHOME
    set -g _VENVFS_OLD_PYTHONHOME $PYTHONHOME
    set -e PYTHONHOME
end

function pydoc
    python -m pydoc $argv
end

if test -z "$VIRTUAL_ENV_DISABLE_PROMPT"; and functions -q fish_prompt
    functions -c fish_prompt _venvfs_old_fish_prompt
    function fish_prompt
        set -l last $status
        printf '(%s) ' $VIRTUAL_ENV_PROMPT
        # The prompt that was there may show the status of the last command.
        sh -c "exit $last"
        _venvfs_old_fish_prompt
    end
end
