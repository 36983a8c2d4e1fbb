# bash completion for hull. Commands and options come from hull's own help texts, names from the engine.

_hull_names() {
    hull "${_hull_global[@]}" "$@" 2>/dev/null
}

# Words in the first column of "Commands:" or "Groups:".
_hull_commands() {
    hull "$@" --help 2>/dev/null | awk '/^[A-Za-z ]+:$/ { on = ($1 == "Commands:" || $1 == "Groups:") }
        on && /^  [a-z]/ { print $1 }'
}

_hull_options() {
    hull "$@" --help 2>/dev/null | grep -oE '^ {2}(-[a-zA-Z],| {3}) --[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+'
    echo --help
}

_hull_objects() {
    case "$1" in
    start | "container start") _hull_names ps -a --filter status=exited --filter status=created --format '{{.Names}}' ;;
    stop | kill | attach | exec | top | "container stop" | "container kill" | "container attach" | \
        "container exec" | "container top" | "vm console" | "vm trace")
        _hull_names ps --format '{{.Names}}' ;;
    restart | wait | logs | rename | rm | update | convert | "container restart" | "container wait" | "container logs" | \
        "container rename" | "container rm" | "container update" | "container convert" | "container inspect")
        _hull_names ps -a --format '{{.Names}}' ;;
    diff | export | "container diff" | "container export")
        _hull_names ps -a --format '{{.Names}}' ;;
    cp | "container cp")
        _hull_names ps -a --format '{{.Names}}:'
        compgen -f -- "$2" ;;
    run | create | rmi | tag | images | pull | "container run" | "container create" | "image rm" | \
        "image tag" | "image ls" | "image pull" | "image inspect")
        _hull_names images --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>' ;;
    inspect)
        _hull_names ps -a --format '{{.Names}}'
        _hull_names images --format '{{.Repository}}:{{.Tag}}' | grep -v '<none>' ;;
    "network inspect") _hull_names network ls --format '{{.Name}}' ;;
    "volume inspect" | "volume rm") _hull_names volume ls -q ;;
    "compute kill") _hull_names compute ls -q ;;
    esac
}

_hull() {
    local cur prev words cword
    local -a _hull_global=() command=()
    local i

    if declare -F _init_completion >/dev/null; then
        _init_completion -n : || return
    else
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
        cur=${words[cword]} prev=${words[cword - 1]}
    fi
    for ((i = 1; i < cword; i++)); do
        case "${words[i]}" in
        -H | --host)
            _hull_global=(-H "${words[i + 1]}")
            i=$((i + 1)) ;;
        --host=*) _hull_global=("${words[i]}") ;;
        -*) ;;
        *)
            command+=("${words[i]}")
            case "${words[i]}" in
            container | image | network | volume | compute | vm | system)
                [ ${#command[@]} -eq 1 ] && continue ;;
            esac
            break ;;
        esac
    done
    case "$prev" in
    --isolation) COMPREPLY=($(compgen -W 'default process hyperv' -- "$cur")) && return ;;
    --network | --net) COMPREPLY=($(compgen -W "$(_hull_names network ls --format '{{.Name}}')" -- "$cur")) && return ;;
    --pull) COMPREPLY=($(compgen -W 'always missing never' -- "$cur")) && return ;;
    --restart) COMPREPLY=($(compgen -W 'no always on-failure unless-stopped' -- "$cur")) && return ;;
    -i | --input | --env-file | --cidfile | --label-file)
        if [ "$prev" != -i ] || [ "${command[*]}" = load ]; then
            COMPREPLY=($(compgen -f -- "$cur"))
            return
        fi ;;
    esac
    if [ ${#command[@]} -eq 0 ]; then
        if [[ $cur == -* ]]; then
            COMPREPLY=($(compgen -W '--host --help --version' -- "$cur"))
        else
            COMPREPLY=($(compgen -W "$(_hull_commands) help" -- "$cur"))
        fi
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$(_hull_options "${command[@]}")" -- "$cur"))
    elif [ ${#command[@]} -eq 1 ] && [[ " container image network compute vm system " == *" ${command[0]} "* ]]; then
        COMPREPLY=($(compgen -W "$(_hull_commands "${command[0]}")" -- "$cur"))
    elif [ "${command[0]}" = help ]; then
        COMPREPLY=($(compgen -W "$(_hull_commands)" -- "$cur"))
    else
        [[ " ${command[*]}" != *" cp" ]] || compopt -o nospace
        COMPREPLY=($(compgen -W "$(_hull_objects "${command[*]}" "$cur")" -- "$cur"))
    fi
    declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
    return 0
}

complete -F _hull hull
