import CPU
public import DMA
import DeviceTree
public import PCI
import Startup

/// The machine this program runs on, with nothing below: RAM, caches, clock, PCI.
@safe
public final class BareMachine {
  /// What DMA sees.
  public let platform: Platform
  /// What PCI sees, where there is any.
  public let pci: PCIHost?
  let state: UnsafeMutablePointer<MachineState>

  /// Brings the machine up.
  ///
  /// - Parameter isCoherent: false treats a coherent machine as one that is not: cache maintenance
  ///   is then done where the mapping asks for it, and coherent memory is not cached.
  /// - Throws: `MachineError.unreachable`, `.noCacheMaintenance`; a retry cannot help.
  public init(
    _ description: MachineDescription, memory: SharedMemory, isCoherent: Bool? = nil
  ) throws(MachineError) {
    let isCoherent = isCoherent ?? description.isCoherent
    guard isCoherent || description.cacheLineByteCount > 0 else { throw .noCacheMaintenance }
    let state = UnsafeMutablePointer<MachineState>.allocate(capacity: 1)
    // SAFETY: freshly allocated for one state; the owner ends it.
    unsafe state.initialize(
      to: MachineState(
        memory: memory.pointer, ticksPerSecond: description.ticksPerSecond,
        startTicks: cpu_ticks(), cacheLineByteCount: description.cacheLineByteCount,
        isCoherent: isCoherent, pci: description.pci))
    let owner = unsafe MachineOwner(state, memory)
    // SAFETY: the owner keeps the state, and the shared memory keeps its own.
    let (lowest, highest) = unsafe (
      memory.pointer.pointee.lowestAddress, memory.pointer.pointee.highestAddress
    )
    let platform = unsafe Platform(
      operations: bareOperations, context: UnsafeMutableRawPointer(state), owner: owner,
      lowestLimit: Self.lowestLimit(lowest), highestAddress: highest, isCoherent: isCoherent)
    unsafe self.state = state
    self.platform = platform
    guard let described = description.pci else {
      pci = nil
      return
    }
    if case .memory(let host) = described {
      let configuration = host.configuration
      guard
        address_space_map(configuration.start, configuration.byteCount, ADDRESS_DEVICE) != 0
      else { throw .unreachable(configuration) }
    }
    pci = unsafe PCIHost(
      platform: platform, operations: barePCIOperations, context: UnsafeMutableRawPointer(state),
      owner: owner)
  }

  /// The end of the lowest zone that has memory: ISA's 24 bits, 32 bits, or all there is.
  private static func lowestLimit(_ lowestAddress: UInt64) -> UInt64 {
    for index in 0..<3 where lowestAddress < PageMap.zoneEnds[index] {
      return PageMap.zoneEnds[index] - 1
    }
    return .max
  }

  /// Whether memory can be reached without the cache, as coherent memory of incoherent machines
  /// must be.
  public static var hasUncachedView: Bool {
    address_space_uncached(startup_image_start()) != 0
  }

  /// Where message interrupts arrive: behind an IOMMU, devices must be allowed to write there at
  /// the same address.
  ///
  /// - Throws: `DMAError.outOfMemory`, and `.machine` where memory has no uncached view but needs
  ///   one.
  public func interruptPage() throws(DMAError) -> ClosedRange<UInt64> {
    var numbers = DMAStatusNumbers()
    // SAFETY: the platform keeps the state; room for three words.
    let status = unsafe numbers.withWords { pointer in
      unsafe MessageWords.makePage(state, pointer)
    }
    guard status == .success else { throw DMAError(status: status, numbers: numbers) }
    let start = unsafe state.pointee.messages.physicalAddress
    return start...(start + 4095)
  }

  /// Bytes of RAM that nobody has now.
  public var freeByteCount: UInt64 {
    // SAFETY: the platform keeps the owner of the state.
    unsafe UInt64(state.pointee.memory.pointee.pages.freePageCount) * PageMap.pageByteCount
  }
}

/// RAM, which several views of one machine can share.
@safe
public final class SharedMemory {
  let pointer: UnsafeMutablePointer<MachineMemory>

  /// Takes all RAM of the description; once.
  ///
  /// - Throws: `MachineError.noMemory`, `.unreachable`.
  public init(_ description: MachineDescription) throws(MachineError) {
    let memory = try MachineMemory(description)
    let pointer = UnsafeMutablePointer<MachineMemory>.allocate(capacity: 1)
    unsafe pointer.initialize(to: memory)
    unsafe self.pointer = pointer
  }

  deinit {
    unsafe pointer.deinitialize(count: 1)
    unsafe pointer.deallocate()
  }
}

/// Keeps a machine's state as long as its platform or PCI host.
@safe
final class MachineOwner {
  let state: UnsafeMutablePointer<MachineState>
  let memory: SharedMemory

  init(_ state: UnsafeMutablePointer<MachineState>, _ memory: SharedMemory) {
    unsafe self.state = state
    self.memory = memory
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }
}

/// What the machine's functions work on.
@safe
struct MachineState: ~Copyable {
  let memory: UnsafeMutablePointer<MachineMemory>
  let ticksPerSecond: UInt64
  let startTicks: UInt64
  let cacheLineByteCount: Int
  let isCoherent: Bool
  let pci: MachineDescription.PCI?
  var messages = MessageWords()

  init(
    memory: UnsafeMutablePointer<MachineMemory>, ticksPerSecond: UInt64, startTicks: UInt64,
    cacheLineByteCount: Int, isCoherent: Bool, pci: MachineDescription.PCI?
  ) {
    unsafe self.memory = memory
    self.ticksPerSecond = ticksPerSecond
    self.startTicks = startTicks
    self.cacheLineByteCount = cacheLineByteCount
    self.isCoherent = isCoherent
    self.pci = pci
  }

  /// The state behind a table function's context.
  static func at(_ context: UnsafeMutableRawPointer) -> UnsafeMutablePointer<MachineState> {
    // SAFETY: both tables are only ever used with a state.
    unsafe context.assumingMemoryBound(to: MachineState.self)
  }
}
