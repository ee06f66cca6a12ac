# Shared by deploy/quickstart and tests/run: progress lines, packages, the build. Sourced, never run.
# Needs ROOT (the tree), STATE (a folder for state) and LOG (a file) to be set; NO_INSTALL=1 forbids installing.

SELF_UID=$(id -u)

now_ms() { date +%s%3N; }

took() {
    local ms=$(($(now_ms) - $1))
    if [ "$ms" -lt 10000 ]; then printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100)); else printf '%d s' $((ms / 1000)); fi
}

# What fits on a line: the terminal's width, at most 79.
LINE_WIDTH=79 IS_LIVE=0 IS_SHOWN=0
if [ -t 1 ]; then
    LINE_WIDTH=$(stty size 2>/dev/null <&1 | cut -d' ' -f2)
    [[ $LINE_WIDTH =~ ^[0-9]+$ ]] && [ "$LINE_WIDTH" -ge 20 ] && [ "$LINE_WIDTH" -le 80 ] || LINE_WIDTH=80
    LINE_WIDTH=$((LINE_WIDTH - 1))
    [ "${TERM:-dumb}" = dumb ] || IS_LIVE=1
fi

# live NAME TEXT: on a terminal, a line that the next one overwrites. No escape sequences, a carriage return alone.
live() {
    [ "$IS_LIVE" = 1 ] || return 0
    local text
    printf -v text '  %-10s %s' "$1" "$2"
    printf '\r%-*s' "$LINE_WIDTH" "${text:0:LINE_WIDTH}"
    IS_SHOWN=1
}

live_end() {
    [ "$IS_SHOWN" = 0 ] || printf '\r%*s\r' "$LINE_WIDTH" ''
    IS_SHOWN=0
}

# line NAME TEXT [START_MS]: a progress line, with the time it took.
line() {
    live_end
    if [ -n "${3:-}" ]; then printf '  %-10s %-*s %7s\n' "$1" $((LINE_WIDTH > 40 ? LINE_WIDTH - 21 : 0)) "$2" "$(took "$3")"; else printf '  %-10s %s\n' "$1" "$2"; fi
}

# progress NAME: reads lines of `DONE TOTAL TEXT` or `PERCENT % TEXT`. A live line with the time on a terminal, elsewhere
# a line each quarter; a line of `- - TEXT` is said in both.
progress() {
    local name=$1 start done='' total='' shown='' text='' row='' piece d t x quarter=0 status
    start=$(now_ms)
    while :; do
        if IFS= read -r -t 1 piece; then
            read -r d t x <<<"$row$piece"
            row=''
            [[ "$d $t" =~ ^([0-9]+ [1-9][0-9]*|[0-9]+ %|- -)$ ]] || continue
            text=$x
            case $t in -) ;; %) done=$d total=100 shown="$d %  " ;; *) done=$d total=$t shown="$d of $t  " ;; esac
            [ "$IS_LIVE" = 1 ] || progress_plain "$d"
        else
            status=$?
            [ "$status" -gt 128 ] || break
            row=$row$piece # the time was up in the middle of a line
        fi
        live "$name" "$(took "$start")  $shown$text"
    done
    live_end
}

progress_plain() {
    [ "$1" = - ] || [ $((done * 4 / total)) -ge "$quarter" ] || quarter=0
    if [ "$1" = - ]; then
        line "$name" "$text"
    elif [ "$total" -ge 20 ] && [ $((done * 4 / total)) -gt "$quarter" ] && [ "$done" -lt "$total" ]; then
        quarter=$((done * 4 / total))
        line "$name" "${shown%  }"
    fi
}

fail() {
    live_end
    printf 'error: %s\n' "$1" >&2
    [ -n "${2:-}" ] && printf '  hint   %s\n' "$2" >&2
    [ -s "${LOG:-}" ] && { printf '  log    %s, its end:\n' "$LOG" >&2; tail -n 15 "$LOG" | sed 's/^/    /' >&2; }
    exit 1
}

# logged NAME COMMAND…: runs with all output in the log; fails with the log's end.
logged() {
    local name=$1
    shift
    printf '\n== %s: %s\n' "$name" "$*" >>"$LOG"
    "$@" >>"$LOG" 2>&1 </dev/null || fail "$name failed" "the command was: $*"
}

# need_space DIR MEGABYTES: fails before a full disk does.
need_space() {
    local free
    free=$(df --output=avail -BM -- "$1" 2>/dev/null | tail -n 1 | tr -dc 0-9)
    [ -z "$free" ] || [ "$free" -ge "$2" ] || fail "only $free MB are free on the disk of $1; $2 MB are needed" 'make room, or choose another folder: --state DIR'
}

as_root() {
    if [ "$SELF_UID" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# What each package is for stands here once; install_packages shows it before it asks.
PACKAGES_BUILD='
gcc            compiles everything
cmake          build system
ninja-build    build system
pkg-config     finds libraries
ccache         makes later builds fast
clang          compiles the JavaScript engine to WebAssembly
lld            links it
wasi-libc      its C library
libclang-rt-14-dev-wasm32  its compiler runtime
wabt           translates it back to C (wasm2c)
dpkg-dev       unpacks the engine source package
libmicrohttpd-dev  REST API
libuv1-dev     event loops
libnghttp2-dev agent links, and HTTP/2 inside enclaves
libwslay-dev   WebSocket frames inside enclaves
libpq-dev      PostgreSQL client
libhiredis-dev Redis client
libjansson-dev JSON
libssl-dev     TLS, signatures, certificates
libcurl4-openssl-dev  HTTP client
libseccomp-dev sandbox of enclaves
libsecp256k1-dev  signatures for contracts
ca-certificates  public roots that outgoing requests trust, built into the enclave
libfyaml-dev   manifests (redoubt.yaml)
libjavascriptcoregtk-4.1-dev  the second JavaScript engine, for releases with engine jsc
zlib1g-dev     compresses the files of the dashboard
libcmocka-dev  unit tests (found by the build)
xz-utils       unpacks the engine source
'
PACKAGES_RUN='
postgresql     the private database
redis-server   the private queue
curl           asks whether the API is ready
openssl        fingerprints
procps         finds processes of an earlier run
util-linux     runs PostgreSQL under an unprivileged account
'

# apt_get NAME ARGUMENT…: as root, with progress and its output in the log.
apt_get() {
    local name=$1
    shift
    # Its own status lines come on the standard output: sudo closes every other descriptor.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Status-Fd=1 -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null | tee -a "$LOG" |
        sed -u -n -e 's/^dlstatus:[^:]*:\([0-9]*\)[^:]*:\(.*\)/\1 % \2/p' -e 's/^pmstatus:[^:]*:\([0-9]*\)[^:]*:\(.*\)/\1 % \2/p' |
        progress "$name"
    return "${PIPESTATUS[0]}"
}

# install_packages YES LISTS…: installs what is missing, after saying what and why. YES=1: do not ask.
install_packages() {
    local yes=$1 missing='' why='' name purpose start there answer
    shift
    there=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null)
    while read -r name purpose; do
        [ -n "$name" ] || continue
        [[ $'\n'$there$'\n' == *$'\n'"installed $name"$'\n'* ]] && continue
        # Node may have come by another way than Debian's package.
        case "$name" in nodejs) command -v node >/dev/null && continue ;; npm) command -v npm >/dev/null && continue ;; esac
        missing="$missing $name"
        why="$why$(printf '    %-26s %s' "$name" "$purpose")
"
    done <<EOT
$(printf '%s\n' "$@")
EOT
    if [ -z "$missing" ]; then
        line packages 'all there'
        return
    fi
    line packages "$(wc -w <<<"$missing") Debian packages to install:"
    printf '%s' "$why"
    [ "${NO_INSTALL:-0}" = 1 ] && fail "packages are missing:$missing" "run without --no-install, or: apt-get install$missing"
    command -v apt-get >/dev/null || fail 'this is not Debian: apt-get is missing' 'install the libraries above by hand and use --no-install'
    if [ "$yes" != 1 ] && [ -t 0 ]; then
        printf '  Install them%s? [Y/n] ' "$([ "$SELF_UID" -eq 0 ] || printf ' with sudo')"
        read -r answer || fail 'not installed' 'install them yourself and use --no-install'
        case "$answer" in [nN]*) fail 'not installed' 'install them yourself and use --no-install' ;; esac
    fi
    start=$(now_ms)
    [ "$SELF_UID" -eq 0 ] || sudo -v || fail 'sudo is needed to install packages' 'run as root, or install them yourself and use --no-install'
    printf '\n== packages\n' >>"$LOG"
    live packages 'reading the package lists …'
    apt_get lists update || fail 'apt-get update failed' 'is a Debian mirror reachable?'
    # postgresql-common would start a cluster of its own; ours is private.
    if ! dpkg-query -W postgresql-common >/dev/null 2>&1 && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        as_root mkdir -p /etc/postgresql-common
        printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi
    # shellcheck disable=SC2086
    apt_get packages install --no-install-recommends $missing || fail 'installing packages failed' "try: apt-get install$missing"
    line packages installed "$start"
}

# build DIR CMAKE_ARGUMENT… -- TARGET…: configures and builds with a live count.
build() {
    local dir=$1 start configure=() total
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do configure+=("$1"); shift; done
    [ $# -gt 0 ] && shift
    start=$(now_ms)
    live build 'configuring …'
    logged configure cmake -S "$ROOT" -B "$dir" -G Ninja "${configure[@]}"
    total=$(NINJA_STATUS='' ninja -C "$dir" -n "$@" 2>/dev/null | grep -c '^\(Building\|Linking\|Generating\)' || true)
    printf '\n== build\n' >>"$LOG"
    # The engine says by itself what it does; it is the longest step.
    NINJA_STATUS='[%f/%t] ' ninja -C "$dir" "$@" 2>&1 </dev/null | tee -a "$LOG" |
        sed -u -n -e '/Re-checking/d' -e 's/^\[\([0-9]*\)\/\([0-9]*\)\] \(.*\)/\1 \2 \3/p' -e 's/^engine: /- - engine: /p' |
        progress build
    [ "${PIPESTATUS[0]}" -eq 0 ] || fail 'the build failed' "look at $LOG"
    line build "$([ "$total" -gt 0 ] && printf '%s steps' "$total" || printf 'up to date')" "$start"
}

# port_is_free PORT on loopback.
port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_ports START COUNT: the first run of COUNT free ports at or above START.
free_ports() {
    local base=$1 count=$2 offset
    while [ "$base" -lt 65000 ]; do
        for ((offset = 0; offset < count; offset++)); do
            port_is_free $((base + offset)) || break
        done
        [ "$offset" -eq "$count" ] && { printf '%d\n' "$base"; return; }
        base=$((base + 10))
    done
    return 1
}

pg_bin() {
    local dir
    for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && printf '%s\n' "$dir"; done | sort -V | tail -n 1
}
