# SPDX-License-Identifier: MIT OR Apache-2.0
# Completions of initmod for fish: its commands, and the options that each command's --help lists.
function __initmod_options
    initmod (commandline -opc)[2] --help 2>&1 | string match -ar -- '--[a-z][a-z-]*'
end
complete -c initmod -n __fish_use_subcommand -f -a "(initmod --help 2>&1 | string replace -rf '^ *([a-z]+)( .*)?\$' '\$1')"
complete -c initmod -n 'not __fish_use_subcommand; and string match -q -- "-*" (commandline -ct)' -f -a '(__initmod_options)'
