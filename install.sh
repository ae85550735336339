#!/bin/sh
# Installs alm: one binary and, with --systemd, a service.
#
# Rules: nothing happens before the last line has been read, so a cut download does nothing. What was fetched runs only after
# its checksum matched. The binary is put in place by one rename, so twice is harmless and a running server goes on.
# Deliberately absent: sudo, questions, secrets, a built-in download address, and any way to remove data.
set -eu

INSTALLER_VERSION=0.1.0
DOWNLOAD_BYTES_MAX=104857600
DOWNLOAD_SECONDS_MAX=900

usage() {
  cat <<'USAGE'
Usage: sh install.sh [options]

Where alm comes from (the first of these that is given):
  --from FILE      a binary that you already have; it is checked against FILE.sha256 if that exists
  --url ADDRESS    a release folder on the web, with alm-linux-x86_64 (or -aarch64) and SHA256SUMS;
                   also taken from ALM_RELEASE_URL. There is no default: no public release address exists yet
  (neither)        the checkout that contains this script, built with cargo (six to seven minutes on two cores)

Options:
  --sha256 HEX     the checksum that the binary must have
  --prefix DIR     install DIR/bin/alm; default /usr/local for root, ~/.local for anyone else
  --systemd        also write a service: a system service for root, a user service for anyone else
  --no-start       with --systemd: write the service, but neither enable nor start it
  --uninstall      remove the binary and the service; keep the data and print where it is
  --version        print the version of this installer
  --help           print this

With DESTDIR=DIR in the environment, every file is put under DIR and nothing is started: for packages and images.
USAGE
}

say() { printf '%s\n' "$*"; }

die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

# --- what was asked for ---------------------------------------------------------------------------------------------------

read_arguments() {
  from='' url=${ALM_RELEASE_URL:-} sha256='' prefix='' systemd=no start=yes action=install
  while [ $# -gt 0 ]; do
    words=1
    case $1 in
    --from | --url | --sha256 | --prefix)
      [ -n "${2:-}" ] || die "$1 needs a value (see --help)"
      words=2
      ;;
    esac
    case $1 in
    --from) from=$2 ;;
    --url) url=$2 ;;
    --sha256) sha256=$(checksum_of_text "$2") ;;
    --prefix) prefix=$2 ;;
    --systemd) systemd=yes ;;
    --no-start) start=no ;;
    --uninstall) action=uninstall ;;
    --version) action=version ;;
    -h | --help) action=help ;;
    *) die "unknown option $1 (see --help)" ;;
    esac
    shift "$words"
  done
}

# A shell expands these; what is left of one was quoted, or stands in a file that no shell has read.
must_be_whole() {
  case $1 in '~'* | */'~'/* | *'$'*) die "no shell has expanded $1: write the whole path" ;; esac
}

# Everything that differs between root and the rest, in one place.
choose_places() {
  root=${DESTDIR:-}
  if [ "$(id -u)" = 0 ]; then
    scope='' prefix=${prefix:-/usr/local} data=/var/lib/alm settings=/etc/alm/env
    unit=/etc/systemd/system/alm.service
  else
    [ -n "${HOME:-}" ] || die 'HOME is not set: set it to your home folder'
    scope=--user prefix=${prefix:-$HOME/.local} data=${XDG_DATA_HOME:-$HOME/.local/share}/alm
    settings=${XDG_CONFIG_HOME:-$HOME/.config}/alm/env
    unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/alm.service
  fi
  for place in "$root" "$prefix" "$data" "$settings"; do must_be_whole "$place"; done
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
  bin=${prefix%/}/bin
}

machine() {
  [ "$(uname -s)" = Linux ] || die "this installer is for Linux, and this is $(uname -s); in a checkout, run: cargo run --release -- demo"
  case $(uname -m) in
  x86_64 | amd64) say x86_64 ;;
  aarch64 | arm64) say aarch64 ;;
  *) die "alm is built for x86_64 and aarch64, and this machine is $(uname -m)" ;;
  esac
}

# --- checksums ------------------------------------------------------------------------------------------------------------

# The first word, in lower case, if it can be a SHA-256.
checksum_of_text() {
  hex=$(printf '%s' "${1%%[[:space:]]*}" | tr 'ABCDEF' 'abcdef')
  case $hex in *[!0-9a-f]*) hex='' ;; esac
  [ ${#hex} = 64 ] || die 'not a SHA-256, which is 64 hexadecimal digits'
  say "$hex"
}

checksum_of_file() {
  if command -v sha256sum >/dev/null; then
    sha256sum <"$1" | cut -c1-64
  elif command -v shasum >/dev/null; then
    shasum -a 256 <"$1" | cut -c1-64
  else
    die 'sha256sum was not found, so nothing can be checked: install coreutils'
  fi
}

# Compares the staged copy, not its source: what was checked is what is installed.
must_match() {
  found=$(checksum_of_file "$staged")
  [ "$found" = "$1" ] || die "the checksum does not match: $2 says $1, but the file has $found; nothing was installed"
  verified=$2
}

# --- getting the binary into the staged file --------------------------------------------------------------------------------

stage_from_file() {
  if [ ! -f "$from" ] || [ ! -r "$from" ]; then die "cannot read $from: there is no such file, or you may not read it"; fi
  cp "$from" "$staged"
  if [ -f "$from.sha256" ]; then
    expected=$(checksum_of_text "$(cat "$from.sha256")")
    must_match "$expected" "$from.sha256"
  fi
}

# Plain HTTP is for this machine only: over it, SHA256SUMS could be forged together with the binary.
stage_from_release() {
  url=${url%/}
  case $url in *[@?#]*) die '--url takes a plain address, without a user name, password or query' ;; esac
  case $url in
  https://*) protocol='=https' ;;
  http://127.0.0.1:* | http://localhost:*) protocol='=http' ;;
  *) die "--url must begin with https://, and $url does not" ;;
  esac
  command -v curl >/dev/null || die 'curl was not found: install it, or download the binary another way and use --from FILE'
  name=alm-linux-$(machine)
  sums=$(fetch "$url/SHA256SUMS") || die "cannot download $url/SHA256SUMS; without it the binary cannot be trusted"
  expected=$(say "$sums" | sed -n "s/^\([0-9A-Fa-f]\{64\}\) [ *]$name\$/\1/p" | head -n 1)
  [ -n "$expected" ] || die "$url/SHA256SUMS does not list $name: this release has no binary for this machine"
  expected=$(checksum_of_text "$expected")
  say "Downloading $url/$name"
  fetch "$url/$name" >"$staged" || die "cannot download $url/$name"
  must_match "$expected" "$url/SHA256SUMS"
}

fetch() {
  curl --fail --silent --show-error --location --proto "$protocol" --proto-redir "$protocol" --connect-timeout 10 \
    --max-time "$DOWNLOAD_SECONDS_MAX" --max-filesize "$DOWNLOAD_BYTES_MAX" "$1"
}

# A script that is piped into sh has no folder of its own, and must not build whatever it happens to stand in.
checkout() {
  case $0 in
  install.sh | */install.sh) here=$(cd "$(dirname "$0")" && pwd) ;;
  *) return 1 ;;
  esac
  [ -x "$here/scripts/build-static" ] && say "$here"
}

stage_from_checkout() {
  here=$(checkout) || die "there is nothing to install from, since no release address is built in: give --url ADDRESS or --from FILE, or run install.sh in a checkout"
  say "Building $here"
  built=$("$here/scripts/build-static") || die 'the build failed: see its last lines'
  cp "$built" "$staged"
}

# --- putting it in place --------------------------------------------------------------------------------------------------

# Tells another machine's binary from a broken one, since the shell only says that it cannot run it.
must_run_here() {
  case $(od -An -tx1 -N20 "$staged" | tr -d ' \n') in
  7f454c46*3e00) made_for=x86_64 ;;
  7f454c46*b700) made_for=aarch64 ;;
  *) made_for=$(machine) ;;
  esac
  [ "$made_for" = "$(machine)" ] || die "this binary is built for $made_for, and this machine is $(machine)"
  version=$("$staged" --version </dev/null 2>/dev/null) || die 'this binary does not run on this machine'
  case $version in
  'alm '*) ;;
  *) die 'this binary is not alm: its --version says something else' ;;
  esac
}

install_binary() {
  target=$root$bin/alm
  [ ! -d "$target" ] || die "$target is a folder"
  if ! mkdir -p "$root$bin" 2>/dev/null || [ ! -w "$root$bin" ]; then
    die "cannot write to $root$bin: run this as its owner, or choose another folder with --prefix DIR"
  fi
  # In the same folder, so that the rename is one step; a binary that runs cannot be written to, but can be replaced.
  staged=$(mktemp "$root$bin/.alm.XXXXXX")
  trap 'rm -f "$staged" "${staged_unit:-}"' EXIT
  trap 'exit 130' HUP INT TERM
  verified=''
  if [ -n "$from" ]; then
    stage_from_file
  elif [ -n "$url" ]; then
    stage_from_release
  else
    stage_from_checkout
    verified='built here'
  fi
  [ -z "$sha256" ] || must_match "$sha256" --sha256
  chmod 755 "$staged"
  must_run_here
  changed=yes
  new=$(checksum_of_file "$staged")
  old=$(if [ -f "$target" ]; then checksum_of_file "$target"; fi)
  if [ "$new" = "$old" ]; then
    changed=no
    say "$version is already in $target"
  else
    mv -f "$staged" "$target"
    say "$version is in $target (checked against: ${verified:-nothing, since there was no checksum})"
  fi
}

# --- the service ----------------------------------------------------------------------------------------------------------

# A user service lacks the lines that need root: there they make the service fail instead of making it safer.
unit_text() {
  cat <<UNIT
# Written by install.sh, which overwrites it. Your own lines belong in: systemctl${scope:+ $scope} edit alm
# Settings and keys belong in $settings, one NAME=value per line, readable only by its owner.
[Unit]
Description=alm, a private agent platform
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart=$bin/alm serve --data-dir $data
Environment=ALM_LISTEN=127.0.0.1:2560
EnvironmentFile=-$settings
Restart=always
RestartSec=3
# Longer than the drain (30 s): running replies are finished and stored before the server goes.
TimeoutStopSec=45
LimitNOFILE=65536
# Memory holds keys, and a machine does more than one thing.
LimitCORE=0
MemoryMax=75%
# What large requests took is given back to the system.
Environment=MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072 MALLOC_TRIM_THRESHOLD_=131072
UMask=0077
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
SystemCallArchitectures=native
MemoryDenyWriteExecute=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
UNIT
  if [ -n "$scope" ]; then
    printf '\n[Install]\nWantedBy=default.target\n'
    return
  fi
  cat <<'UNIT'
# A fixed user and not DynamicUser: `sudo -u alm alm keys create` and its like must own what they write.
User=alm
StateDirectory=alm
StateDirectoryMode=0700
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictNamespaces=yes
RemoveIPC=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
UNIT
}

# systemd reads these characters as its own, and hides the homes from a system service.
must_suit_a_service() {
  case $bin$data in *[[:space:]\"\'\\%\$]*) die "cannot write a service for $bin: choose a --prefix without spaces or special characters" ;; esac
  [ -z "$scope" ] || return 0
  case $bin/ in /home/* | /root/* | /run/user/*) die "a system service cannot start $bin/alm in a home folder: choose another --prefix" ;; esac
}

# Unquoted on purpose: an empty scope is no argument.
# shellcheck disable=SC2086
control() { systemctl $scope "$@"; }

# Asks the manager that would run the service: a user's may be out of reach where the system's is not.
live_systemd() { [ -z "$root" ] && command -v systemctl >/dev/null && control show-environment >/dev/null 2>&1; }

make_user() {
  [ -z "$root$scope" ] || return 0
  id alm >/dev/null 2>&1 && return
  command -v useradd >/dev/null || die 'useradd was not found: create a system user named alm, then run this again'
  useradd --system --user-group --no-create-home --home-dir "$data" --shell /usr/sbin/nologin alm
}

# What the service's user owns, that user makes: a command of root's would look into root's own folder.
choose_user() {
  as_service=''
  [ -z "$scope" ] || return 0
  if command -v sudo >/dev/null; then as_service='sudo -u alm '; else as_service='runuser -u alm -- '; fi
}

install_service() {
  make_user
  choose_user
  is_new=yes
  [ ! -e "$root$data/alm.db" ] || is_new=no
  mkdir -p "$root${unit%/*}"
  staged_unit=$(mktemp "$root${unit%/*}/.alm.XXXXXX")
  unit_text >"$staged_unit"
  chmod 644 "$staged_unit"
  if [ "$(cat "$root$unit" 2>/dev/null)" != "$(cat "$staged_unit")" ]; then changed=yes; fi
  mv -f "$staged_unit" "$root$unit"
  say "The service is in $root$unit; its data is in $data"
  if [ "$start" = no ] || ! live_systemd; then
    [ "$start" = no ] || [ -n "$root" ] || say "No systemd answers here${scope:+ for this user (systemctl --user show-environment)}."
    say "It was not started. Next: systemctl${scope:+ $scope} enable --now alm"
    return
  fi
  control daemon-reload
  control enable --quiet alm
  # A restart cuts nobody off, but it waits for running replies: only when there is something new to start.
  if [ "$changed" = yes ]; then control restart alm; else control start alm; fi
  say "It is running. To see its log: journalctl${scope:+ $scope} -u alm -n 20"
  [ -z "$scope" ] || say 'To keep it running while you are signed out: loginctl enable-linger'
}

# --- the end --------------------------------------------------------------------------------------------------------------

say_next_command() {
  [ -z "$root" ] || return 0
  if [ "$systemd" = no ]; then
    say "Next: alm demo, or alm serve --data-dir $data"
  elif [ "$is_new" = yes ]; then
    say "Next, its first organization (it asks for a password):"
    say "  ${as_service}$bin/alm org create acme --owner you@example.com --password-file - --data-dir $data"
  fi
  # Last, so that it is what one reads: without it the next command is not found.
  case ":$PATH:" in
  *":$bin:"*)
    [ "$(command -v alm)" = "$bin/alm" ] || say "Note: alm on your PATH is another one, $(command -v alm)"
    ;;
  *) say "Note: $bin is not on your PATH. Next: export PATH=\"$bin:\$PATH\"" ;;
  esac
}

uninstall() {
  removed=no
  if [ -f "$root$unit" ]; then
    if live_systemd; then control disable --now --quiet alm || die 'systemd could not stop alm; nothing was removed'; fi
    rm "$root$unit"
    removed=yes
    if live_systemd; then control daemon-reload; fi
    say "Removed $root$unit"
  fi
  if [ -f "$root$bin/alm" ]; then
    rm "$root$bin/alm" || die "cannot remove $root$bin/alm: run this as its owner"
    removed=yes
    say "Removed $root$bin/alm"
  fi
  [ "$removed" = yes ] || say "There is no alm in $root$bin"
  if [ -d "$root$data" ]; then say "The data is kept in $root$data: delete it yourself if you no longer need it"; fi
  if [ -f "$root$settings" ]; then say "The settings are kept in $root$settings"; fi
}

main() {
  umask 022
  read_arguments "$@"
  case $action in
  help) usage && return ;;
  version) say "install.sh $INSTALLER_VERSION" && return ;;
  esac
  choose_places
  if [ "$action" = uninstall ]; then
    uninstall
    return
  fi
  machine >/dev/null
  [ "$systemd" = no ] || must_suit_a_service
  install_binary
  [ "$systemd" = no ] || install_service
  say_next_command
}

# The braces make the shell read to the very end before it runs anything: a cut here is a syntax error.
{ main "$@"; }
