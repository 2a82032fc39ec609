import DMA

/// What a machine and its devices can do, from files the user gives.
///
/// Two kinds of lines are understood, in any order and any number of files: those of `/proc/iomem`
/// (`36200000-371fffff : Kernel code`), and lines that begin with a device's name and hold
/// `key=value` words (`0000:00:01.0 dma_mask_bits=64 max_segment_size=65536
/// segment_boundary_mask=0xffffffff`). Everything else is passed over.
public struct TraceLimits: Sendable {
  /// A range of physical addresses that holds the kernel itself.
  public struct KernelRange: Sendable, Equatable {
    public var first: UInt64
    public var last: UInt64
    public var name: String
  }
  public struct Device: Sendable, Equatable {
    public var mask: UInt64?
    public var coherentMask: UInt64?
    public var maxSegment: UInt64?
    public var boundaryMask: UInt64?
  }
  public private(set) var kernel: [KernelRange] = []
  public private(set) var devices: [String: Device] = [:]
  /// The addresses of iomem were hidden (all zero): the file was not read as root.
  public private(set) var iomemIsHidden = false
  /// Slots of 2 KiB in the bounce pool (`io_tlb_nslabs`).
  public private(set) var poolSlots: Int?

  public init() {}

  public var isEmpty: Bool { kernel.isEmpty && devices.isEmpty }

  /// Adds what a text says.
  public mutating func add(_ text: String) {
    for line in text.utf8.split(separator: 0x0a) { addLine(String(decoding: line, as: UTF8.self)) }
  }

  private mutating func addLine(_ line: String) {
    let words = line.split(separator: " ", omittingEmptySubsequences: true)
    guard let first = words.first else { return }
    // `# /sys/kernel/debug/swiotlb/io_tlb_nslabs 32768`, as `record` writes it, or without the path.
    if let last = words.last, words.contains(where: { $0.hasSuffix("io_tlb_nslabs") }) {
      poolSlots = Int(last) ?? poolSlots
      return
    }
    if words.count >= 3, words[1] == ":" {
      let ends = first.split(separator: "-")
      guard ends.count == 2, let start = UInt64(ends[0], radix: 16),
        let last = UInt64(ends[1], radix: 16)
      else { return }
      let name = words[2...].joined(separator: " ")
      guard name == "Kernel code" || name == "Kernel rodata" else { return }
      if last == 0 {
        iomemIsHidden = true
      } else {
        kernel.append(KernelRange(first: start, last: last, name: name))
      }
      return
    }
    var device = devices[String(first)] ?? Device()
    var found = false
    for word in words.dropFirst() {
      guard let equals = word.firstIndex(of: "="),
        let number = Self.number(word[word.index(after: equals)...])
      else { continue }
      switch word[..<equals] {
      case "dma_mask_bits": device.mask = Self.mask(number)
      case "consistent_dma_mask_bits": device.coherentMask = Self.mask(number)
      case "dma_mask": device.mask = number
      case "max_segment_size": device.maxSegment = number
      case "segment_boundary_mask": device.boundaryMask = number
      default: continue
      }
      found = true
    }
    if found { devices[String(first)] = device }
  }

  private static func number(_ text: Substring) -> UInt64? {
    text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }

  private static func mask(_ bits: UInt64) -> UInt64? {
    bits >= 64 ? .max : bits == 0 ? nil : (1 << bits) - 1
  }
}
