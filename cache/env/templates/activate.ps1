# Dot-source this file in PowerShell: . bin/activate.ps1
# Made by venvfs.

function global:deactivate([switch] $NonDestructive) {
    if (Test-Path variable:global:_VENVFS_OLD_PATH) {
        $env:PATH = $global:_VENVFS_OLD_PATH
        Remove-Variable _VENVFS_OLD_PATH -Scope Global
    }
    if (Test-Path variable:global:_VENVFS_OLD_PYTHONHOME) {
        $env:PYTHONHOME = $global:_VENVFS_OLD_PYTHONHOME
        Remove-Variable _VENVFS_OLD_PYTHONHOME -Scope Global
    }
    if (Test-Path function:_venvfs_old_prompt) {
        $function:prompt = $function:_venvfs_old_prompt
        Remove-Item function:_venvfs_old_prompt
    }
    Remove-Item env:VIRTUAL_ENV -ErrorAction SilentlyContinue
    Remove-Item env:VIRTUAL_ENV_PROMPT -ErrorAction SilentlyContinue
    if (-not $NonDestructive) {
        Remove-Item function:deactivate
        Remove-Item function:pydoc -ErrorAction SilentlyContinue
    }
}

# An environment that is still active is left first.
deactivate -NonDestructive

$env:VIRTUAL_ENV = @VENV@
$env:VIRTUAL_ENV_PROMPT = @PROMPT@

$global:_VENVFS_OLD_PATH = $env:PATH
$env:PATH = "$env:VIRTUAL_ENV/bin" + [System.IO.Path]::PathSeparator + $env:PATH

# PYTHONHOME would lead the interpreter away from this environment.
if (Test-Path env:PYTHONHOME) {
    $global:_VENVFS_OLD_PYTHONHOME = $env:PYTHONHOME
    Remove-Item env:PYTHONHOME
}

function global:pydoc {
    python -m pydoc $args
}

if (-not $env:VIRTUAL_ENV_DISABLE_PROMPT) {
    function global:_venvfs_old_prompt { "" }
    $function:_venvfs_old_prompt = $function:prompt
    function global:prompt {
        "($env:VIRTUAL_ENV_PROMPT) " + (_venvfs_old_prompt)
    }
}
