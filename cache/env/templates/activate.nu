# Use this file in Nushell: overlay use bin/activate.nu
# Made by venvfs. `deactivate` hides the overlay again.

export-env {
    let virtual_env = @VENV@
    let prompt_name = @PROMPT@
    let path_name = if ('PATH' in $env) { 'PATH' } else { 'Path' }
    let old_path = ($env | get $path_name)
    let new_path = if (($old_path | describe) == 'string') {
        $"($virtual_env)/bin:($old_path)"
    } else {
        $old_path | prepend $"($virtual_env)/bin"
    }
    load-env {
        $path_name: $new_path
        VIRTUAL_ENV: $virtual_env
        VIRTUAL_ENV_PROMPT: $prompt_name
    }
    if ($env.VIRTUAL_ENV_DISABLE_PROMPT? | is-empty) {
        let old_prompt = ($env.PROMPT_COMMAND? | default '')
        let new_prompt = if (($old_prompt | describe) == 'closure') {
            {|| $"\(($prompt_name)\) (do $old_prompt)" }
        } else {
            {|| $"\(($prompt_name)\) ($old_prompt)" }
        }
        $env.PROMPT_COMMAND = $new_prompt
    }
}

export alias pydoc = python -m pydoc
export alias deactivate = overlay hide activate
