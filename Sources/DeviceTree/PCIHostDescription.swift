/// What a device tree says of a PCI host with a flat configuration space (ECAM), compatible with
/// "pci-host-ecam-generic".
public struct PCIHostDescription: Sendable {
  /// One window through which the CPU reaches devices' memory.
  @frozen
  public struct Window: Equatable, Sendable {
    /// The first address as devices' base address registers have it.
    public var busAddress: UInt64
    /// The same as the CPU has it.
    public var cpuAddress: UInt64
    public var byteCount: UInt64
  }

  /// The configuration space: 4 KiB a function, 1 MiB a bus.
  public var configuration: MemoryRange
  public var firstBus: UInt8
  public var lastBus: UInt8
  /// The window for 32-bit base address registers.
  public var memory32: Window
  /// The window for 64-bit ones, where there is one.
  public var memory64: Window?
  /// Whether DMA is coherent with the CPU's caches.
  public var isCoherent: Bool

  /// The host in `tree`; nil when there is none or its node is incomplete.
  public init?(_ tree: DeviceTree) {
    guard let node = tree.node(compatibleWith: "pci-host-ecam-generic"),
      let configuration = node.registers(), configuration.byteCount >= 1 << 20
    else { return nil }
    self.configuration = configuration
    let buses = node.property("bus-range")
    firstBus = UInt8(truncatingIfNeeded: buses?.word(0) ?? 0)
    let described = buses?.word(1) ?? 255
    // Not more buses than the configuration space has room for.
    let room = UInt64(firstBus) + (configuration.byteCount >> 20) - 1
    lastBus = UInt8(truncatingIfNeeded: min(UInt64(described), room, 255))
    isCoherent = node.isDMACoherent
    guard let ranges = node.property("ranges") else { return nil }
    let parentCells = node.parentCells.address
    var memory32: Window?
    var index = 0
    // Entries: three words of PCI address, the parent's address, two words of size
    // (PCI Bus Binding to IEEE 1275, 2.2.1.1: bits 25:24 of the first word are the space).
    while let flags = ranges.word(index),
      let bus = ranges.number(word: index + 1, cells: 2),
      let parent = ranges.number(word: index + 3, cells: parentCells),
      let size = ranges.number(word: index + 3 + parentCells, cells: 2)
    {
      let cpu = node.translate(MemoryRange(start: parent, byteCount: size), from: 1)
      if let cpu, size > 0 {
        let window = Window(busAddress: bus, cpuAddress: cpu.start, byteCount: size)
        switch flags >> 24 & 3 {
        case 2 where memory32 == nil && bus <= 0xffff_ffff && size <= 0x1_0000_0000 - bus:
          memory32 = window
        case 3 where memory64 == nil: memory64 = window
        default: break
        }
      }
      index += 5 + parentCells
    }
    guard let memory32 else { return nil }
    self.memory32 = memory32
  }
}
