import DMA
import Drivers
import Glibc
import PCI
import VFIOMachine

/// The kernel's own trace of what its IOMMU maps, against what the mapping says it mapped.
///
/// After each call a mark with everything that is live by our account goes into the trace, between
/// the kernel's lines; read back, the kernel's pages must be ours at every mark.
enum Agreement {
  private static let tracing = "/sys/kernel/tracing"

  static func run(_ address: PCIAddress, _ checks: Checks) {
    let machine = GuestTests.open(address)
    let edu = GuestTests.edu(machine, address)
    let device = edu.device.dma
    // Placed above the device's mask on purpose: nobody lets it touch these.
    do {
      try device.setMask(.bits32)
      device.constraints = try DMAConstraints(segmentByteCountMax: 1 << 20)
    } catch {
      abandon("agreement: \(error)")
    }
    write("16384", to: tracing + "/buffer_size_kb")
    write("", to: tracing + "/trace")
    for event in ["map", "unmap"] { write("1", to: tracing + "/events/iommu/\(event)/enable") }
    do {
      var marks = Marks(tracing)
      for size in [1, 4095, 4096, 4097, 65536, 200_000] {
        try stream(size, 0, machine, device, &marks)
        try stream(size, 1000, machine, device, &marks)
      }
      try lists(machine, device, &marks)
      try coherent(device, &marks)
      marks.set([])
    } catch {
      abandon("agreement: \(error)")
    }
    for event in ["map", "unmap"] { write("0", to: tracing + "/events/iommu/\(event)/enable") }
    compare(checks)
  }

  private static func stream(
    _ size: Int, _ offset: Int, _ machine: VFIOMachine, _ device: DMADevice, _ marks: inout Marks
  ) throws {
    let first = try StreamingBuffer(byteCount: size + offset, in: machine.platform)
      .map(ToDevice.self, bytes: offset..<offset + size, for: device).get()
    marks.set([(first.address.rawValue, size)])
    let second = try StreamingBuffer(byteCount: size, in: machine.platform)
      .map(Bidirectional.self, for: device).get()
    marks.set([(first.address.rawValue, size), (second.address.rawValue, size)])
    let keep = (second.address.rawValue, size)
    _ = first.unmap()
    marks.set([keep])
    _ = second.unmap()
    marks.set([])
  }

  private static func lists(
    _ machine: VFIOMachine, _ device: DMADevice, _ marks: inout Marks
  ) throws {
    for piece in [4096, 1000, 12288] {
      let mapping = try ScatterBuffer(
        byteCount: 8 * piece, in: machine.platform, pieceByteCount: piece
      ).map(FromDevice.self, for: device).get()
      marks.set(
        (0..<mapping.segmentCount).map {
          (mapping.segment(at: $0).address.rawValue, mapping.segment(at: $0).byteCount)
        })
      _ = mapping.unmap()
      marks.set([])
    }
  }

  private static func coherent(_ device: DMADevice, _ marks: inout Marks) throws {
    for count in [4096, 40_000] {
      let memory = try CoherentBuffer<UInt8>(count: count, for: device)
      var rounded = 4096
      while rounded < count { rounded *= 2 }
      marks.set([(memory.address.rawValue, rounded)])
      _ = consume memory
      marks.set([])
    }
  }

  /// Writes what is live into the trace.
  private struct Marks {
    private let file: Int32

    init(_ tracing: String) {
      file = unsafe open(tracing + "/trace_marker", O_WRONLY | O_CLOEXEC)
      if file < 0 { abandon("no trace_marker") }
    }

    func set(_ ranges: [(UInt64, Int)]) {
      var line = "ours"
      for (address, size) in ranges {
        line += " \(String(address, radix: 16))+\(String(size, radix: 16))"
      }
      line += "\n"
      line.withUTF8 { bytes in
        if unsafe Glibc.write(file, bytes.baseAddress, bytes.count) != bytes.count {
          abandon("trace_marker refuses")
        }
      }
    }
  }

  private static func compare(_ checks: Checks) {
    let text = SysfsTree().text(tracing + "/trace") ?? ""
    var kernel: Set<UInt64> = []
    var markCount = 0
    var mapCount = 0
    var different = 0
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      if let at = line.range(of: " ours") {
        markCount += 1
        let ours = pages(of: at)
        if ours != kernel {
          different += 1
          if different < 4 {
            say("mark \(markCount): kernel \(kernel.sorted()), ours \(ours.sorted())")
          }
        }
      } else if let range = iova(line, "map: IOMMU: iova=") {
        let isUnmap = line.range(of: " unmap: ") != nil
        if !isUnmap { mapCount += 1 }
        for page in range {
          if isUnmap { kernel.remove(page) } else { kernel.insert(page) }
        }
      }
    }
    say("count: \(markCount) marks, \(mapCount) of the kernel's maps")
    checks.expect("the kernel's trace has our maps", mapCount >= 25 && markCount >= 40)
    checks.expect("the kernel mapped at every moment what we say", different == 0, "\(different)")
    checks.expect("nothing stays mapped", kernel.isEmpty)
  }

  private static func pages(of words: Substring) -> Set<UInt64> {
    var pages: Set<UInt64> = []
    for word in words.split(separator: " ") {
      let parts = word.split(separator: "+")
      guard parts.count == 2, let address = UInt64(parts[0], radix: 16),
        let size = UInt64(parts[1], radix: 16)
      else { continue }
      for page in address >> 12...(address + size - 1) >> 12 { pages.insert(page) }
    }
    return pages
  }

  /// The pages of `iova=0x… - 0x…`.
  private static func iova(_ line: Substring, _ words: String) -> Range<UInt64>? {
    guard let rest = line.range(of: words) else { return nil }
    let parts = rest.split(separator: " ")
    guard parts.count >= 3, let first = UInt64(parts[0].dropFirst(2), radix: 16),
      let end = UInt64(parts[2].dropFirst(2), radix: 16)
    else { return nil }
    // An IOMMU with pages of any size takes a whole one away where VFIO asks for its first 4 KiB.
    if let gone = line.range(of: "unmapped_size="),
      let byteCount = UInt64(gone.prefix { $0.isNumber })
    {
      return first >> 12..<(first + byteCount) >> 12
    }
    return first >> 12..<end >> 12
  }
}

extension Substring {
  /// What follows the first occurrence of some words; nil when there is none.
  func range(of words: String) -> Substring? {
    let wanted = Array(words.utf8)
    var at = utf8.startIndex
    while at < utf8.endIndex {
      if utf8[at...].starts(with: wanted) {
        return self[utf8.index(at, offsetBy: wanted.count)...]
      }
      at = utf8.index(after: at)
    }
    return nil
  }
}
