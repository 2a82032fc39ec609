# Functions of run and link-all: finding a board, building for it. Sourced, not run.

boards_folder=$here/Boards

all_boards() {
  local folder
  for folder in "$boards_folder"/*/board.conf; do basename "$(dirname "$folder")"; done
}

# select_board NAME: a board, or the first of architecture NAME, whose `is_default` is not 0. Sets
# board, arch, triple, emulator, package, passed, and copies: where the disk holds copies after a
# run, in MiB.
select_board() {
  local name
  for name in $(all_boards); do
    arch=${name%%-*}
    [ "$name" = "$1" ] || [ "$arch" = "$1" ] || continue
    board=$name
    copies=(8 12 16)
    is_default=1
    source "$boards_folder/$board/board.conf"
    if [ "$name" = "$1" ] || [ "$is_default" -eq 1 ]; then return 0; fi
  done
  echo "no board for $1; there are:" $(all_boards) >&2
  return 1
}

# build_product PRODUCT: sets binary. Architectures have folders of their own, so that builds for
# different ones can run side by side; boards of one architecture differ in the link only.
build_product() {
  local scratch=$here/.build/$arch
  binary=$scratch/$triple/release/$1
  # SwiftPM does not see a changed linker script.
  rm -f "$binary"
  # The native build system: swiftbuild of 6.3 fails for triples without an operating system. Its plan is
  # made anew: a kept one still links for the board that was built before in this folder.
  swift build --package-path "$here" --scratch-path "$scratch" --build-system native \
    --triple "$triple" --toolset "$boards_folder/$board/toolset.json" -c release --product "$1" \
    --disable-build-manifest-caching
}
