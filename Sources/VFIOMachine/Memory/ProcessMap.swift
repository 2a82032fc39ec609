internal import DMA

/// What the address space of a process holds, as `/proc/self/maps` lists it.
struct ProcessMap {
  /// One line.
  struct Area: Equatable {
    var first: UInt64
    /// One past the last byte.
    var end: UInt64
    var isWritable: Bool
    var isExecutable: Bool
    var isShared: Bool
    /// Zero for memory without a file.
    var inode: UInt64
    var path: String
  }

  let areas: [Area]

  init(_ text: String) {
    areas = text.split(separator: "\n").compactMap { Self.area($0) }
  }

  /// The calling process's.
  static func current(_ tree: SysfsTree = SysfsTree()) -> ProcessMap {
    ProcessMap(tree.text("/proc/self/maps") ?? "")
  }

  /// `7f..-7f.. rw-p 00000000 00:00 0   [heap]`.
  private static func area(_ line: Substring) -> Area? {
    let words = line.split(separator: " ", maxSplits: 5)
    guard words.count >= 5 else { return nil }
    let bounds = words[0].split(separator: "-")
    guard bounds.count == 2, let first = UInt64(bounds[0], radix: 16),
      let end = UInt64(bounds[1], radix: 16), let inode = UInt64(words[4])
    else { return nil }
    let path = words.count > 5 ? String(words[5].drop { $0 == " " }) : ""
    return Area(
      first: first, end: end, isWritable: words[1].contains("w"),
      isExecutable: words[1].contains("x"), isShared: words[1].contains("s"), inode: inode,
      path: path)
  }

  /// What kind of memory all of a range is; the kind that forbids DMA where several meet.
  func kind(_ address: UInt64, _ byteCount: UInt64) -> MemoryKind {
    var position = address
    let (end, overflow) = address.addingReportingOverflow(byteCount)
    guard !overflow else { return .unknown }
    while position < end {
      guard let index = areas.firstIndex(where: { $0.first <= position && position < $0.end })
      else { return .unknown }
      let kind = self.kind(of: index)
      guard kind == .pages else { return kind }
      position = areas[index].end
    }
    return .pages
  }

  private func kind(of index: Int) -> MemoryKind {
    let area = areas[index]
    if area.path.hasPrefix("[stack") { return .stack }
    if area.path.hasPrefix("[v") { return .image }
    if area.path.contains("vfio") || area.path.contains("/resource")
      || area.path.hasPrefix("/dev/mem")
    {
      return .mmio
    }
    if area.isExecutable { return .image }
    // Memory objects and huge pages have inodes and paths, but no file that others write back.
    let isObject =
      area.path.hasPrefix("/memfd:") || area.path.hasPrefix("/dev/zero")
      || area.path.hasPrefix("/anon_hugepage") || area.path.hasPrefix("/SYSV")
      || area.path.hasPrefix("[anon")
    if area.inode != 0 && !isObject {
      // Private pages of programs and libraries hold their constants and variables.
      return isImage(area.path) ? .image : .user
    }
    guard area.isWritable else { return .image }
    // What follows a program's variables without a gap holds those that begin as zero.
    if area.inode == 0, area.path.isEmpty, index > 0, areas[index - 1].end == area.first,
      areas[index - 1].inode != 0, isImage(areas[index - 1].path)
    {
      return .image
    }
    return .pages
  }

  /// Whether code of the process comes from this file.
  private func isImage(_ path: String) -> Bool {
    areas.contains { $0.isExecutable && $0.path == path }
  }
}

/// Which ranges of the process are marked so that a fork does not hand them on: the mark that
/// `mmap` over such memory takes off, so it tells whether memory was replaced.
///
/// Read from `VmFlags` of `/proc/self/smaps` (`dc`, Documentation/filesystems/proc.rst).
struct KeptAreas {
  private var ranges: [Range<UInt64>] = []

  init(_ text: String) {
    var current: Range<UInt64>?
    for line in text.split(separator: "\n") {
      if line.hasPrefix("VmFlags:") {
        if let area = current, line.split(separator: " ").contains("dc") { ranges.append(area) }
        continue
      }
      let bounds = line.prefix { $0 != " " }.split(separator: "-")
      if bounds.count == 2, let first = UInt64(bounds[0], radix: 16),
        let end = UInt64(bounds[1], radix: 16), first < end
      {
        current = first..<end
      }
    }
  }

  static func current(_ tree: SysfsTree = SysfsTree()) -> KeptAreas {
    KeptAreas(tree.text("/proc/self/smaps") ?? "")
  }

  /// The first byte of a range that is not marked; nil when all are.
  func firstReplaced(_ address: UInt64, _ byteCount: UInt64) -> UInt64? {
    var position = address
    while position < address + byteCount {
      guard let area = ranges.first(where: { $0.contains(position) }) else { return position }
      position = area.upperBound
    }
    return nil
  }
}
