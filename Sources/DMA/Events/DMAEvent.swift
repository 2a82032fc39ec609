/// One thing that happened to DMA memory: the truth that checkers, counters and reports read.
///
/// The same record carries a live driver's call and a line of a Linux trace. What a source cannot
/// know is left out and says so in `known`; a checker must not judge by a field that is not known.
/// It is plain data of fixed size; `segments` is borrowed and ends with the call that delivers it.
@safe
public struct DMAEvent {
  public var kind: Kind
  public var family: Family
  /// Which of the fields below hold something.
  public var known: Known
  /// The direction of a streaming call; nil where the call has none or the source does not say.
  public var direction: DMADirection?
  /// What was mapped, where a map was refused for its kind of memory (`DMAStatus.notDMAable`).
  public var memoryKind: MemoryKind?
  /// Whether the caller of a map has to test its result (`errorChecked`), as in C.
  public var isErrorCheckExpected: Bool
  /// The outcome: `DMAStatus.success`, or why the call failed.
  ///
  /// `DMAStatus.refused` is misuse that was refused: what the call is about is as it was.
  public var status: DMAStatus
  /// Which device, by the number its source gave it (`DMADevice.id`, a trace's device table).
  public var device: UInt32
  /// The pool of a pool event, by number; 0 elsewhere.
  public var pool: UInt32
  /// `DMA_ATTR_*` bits, Linux's numbering.
  public var attributes: UInt32
  /// Which live mapping this is about, where the source can tell mappings of one key apart; or 0.
  public var token: UInt64
  /// The bus address of the memory, or of the part a sync is about.
  public var dmaAddress: UInt64
  /// The machine's own address of it.
  public var physicalAddress: UInt64
  /// The CPU's address of it; traces may hold a hash instead.
  public var cpuAddress: UInt64
  /// Bytes of the call.
  public var byteCount: UInt64
  /// Entries of the caller's scatter list (nents).
  public var entryCount: UInt32
  /// Segments the device was given (ents).
  public var segmentCount: UInt32
  /// The list's entries or segments, as far as the source has them.
  public var segments: UnsafeBufferPointer<Segment>
  /// Where, or when and by whom, the call was made.
  public var origin: Origin

  /// An event about nothing yet: fill in what is known.
  public init(_ kind: Kind, family: Family, device: UInt32) {
    self.kind = kind
    self.family = family
    self.known = []
    self.direction = nil
    self.memoryKind = nil
    self.isErrorCheckExpected = false
    self.status = .success
    self.device = device
    self.pool = 0
    self.attributes = 0
    self.token = 0
    self.dmaAddress = 0
    self.physicalAddress = 0
    self.cpuAddress = 0
    self.byteCount = 0
    self.entryCount = 0
    self.segmentCount = 0
    unsafe self.segments = UnsafeBufferPointer(start: nil, count: 0)
    self.origin = .unknown
  }
}

extension DMAEvent {
  /// What was done.
  public enum Kind: UInt8, Sendable {
    case deviceAdded, deviceRemoved
    /// The driver said that its device no longer touches memory: quarantined memory came back.
    case deviceQuiet
    /// A mask was set: `byteCount` is its raw value.
    ///
    /// `family` tells streaming (`single`) from coherent.
    case maskSet
    /// A mask was refused by the platform.
    case maskRefused
    case allocate, free
    case map, unmap
    case mapScatter, unmapScatter
    case syncForCPU, syncForDevice
    case syncScatterForCPU, syncScatterForDevice
    /// The result of a map call was looked at (`dma_mapping_error`).
    case errorChecked
    /// Blocks of pools; a destroyed pool's `entryCount` is how many were still in use.
    case poolCreate, poolDestroy, poolAllocate, poolFree
    /// A free block of a poisoned pool was written: `byteCount` bytes from `dmaAddress` on hold
    /// all that changed, and may be looked at during the call by `cpuAddress`.
    case poolCorrupted
    /// A live mapping was dropped without being unmapped: its memory went into quarantine.
    case dropped
    /// A device's access was refused by an IOMMU or a bus.
    case fault
    /// A source lost events: nothing on the CPUs it names can be relied on across this point.
    case loss
    /// A mark in a trace: a driver loaded or unloaded.
    case mark
  }

  /// Which family of calls: memory of one is never released by another (R30).
  public enum Family: UInt8, Sendable {
    /// Not about memory.
    case none
    /// `dma_alloc_coherent`, `pci_alloc_consistent`.
    case coherent
    /// `dma_alloc_pages`, `dma_alloc_noncoherent`.
    case pages
    /// `dma_alloc_noncontiguous`.
    case noncontiguous
    /// One region by its CPU address; in traces, by page.
    case single
    /// Device registers (`dma_map_resource`).
    case resource
    /// A physical range whose caller is not known further (`dma_map_phys`).
    case physical
    /// A scatter list.
    case scatter
    /// Blocks of a pool.
    case pool
  }

  /// Which fields hold something.
  public struct Known: OptionSet, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let dmaAddress = Known(rawValue: 1 << 0)
    public static let physicalAddress = Known(rawValue: 1 << 1)
    public static let cpuAddress = Known(rawValue: 1 << 2)
    public static let byteCount = Known(rawValue: 1 << 3)
    public static let direction = Known(rawValue: 1 << 4)
    public static let entryCount = Known(rawValue: 1 << 5)
    public static let segmentCount = Known(rawValue: 1 << 6)
    public static let attributes = Known(rawValue: 1 << 7)
    /// `segments` holds bus addresses.
    public static let segmentAddresses = Known(rawValue: 1 << 8)
    /// `segments` holds physical addresses.
    public static let segmentPhysicalAddresses = Known(rawValue: 1 << 9)
    /// `segments` holds lengths.
    public static let segmentByteCounts = Known(rawValue: 1 << 10)
    /// `segments` stops before the list does.
    public static let truncated = Known(rawValue: 1 << 11)
  }

  /// One element of a scatter list.
  public struct Segment: BitwiseCopyable, Sendable {
    public var dmaAddress: UInt64
    public var physicalAddress: UInt64
    public var byteCount: UInt64
    public init(dmaAddress: UInt64, physicalAddress: UInt64, byteCount: UInt64) {
      self.dmaAddress = dmaAddress
      self.physicalAddress = physicalAddress
      self.byteCount = byteCount
    }
  }

  /// Where an event comes from.
  public enum Origin: Sendable {
    case unknown
    /// A live driver: the place in its source.
    case callSite(CallSite)
    /// A trace: its line or record, the time, and who ran.
    case trace(TraceOrigin)
  }
}

extension DMAEvent.Family: CustomStringConvertible {
  /// A word for reports.
  public var description: String {
    switch self {
    case .none: "none"
    case .coherent: "coherent"
    case .pages: "pages"
    case .noncontiguous: "noncontiguous"
    case .single: "single"
    case .resource: "resource"
    case .physical: "physical"
    case .scatter: "scatter list"
    case .pool: "pool block"
    }
  }
}

/// A place in a driver's source.
@safe
public struct CallSite: BitwiseCopyable, @unchecked Sendable {
  // SAFETY (Sendable): the bytes are constants of the program and never change.
  @usableFromInline let file: UnsafePointer<UInt8>?
  let fileByteCount: Int
  /// The line, from 1.
  public let line: UInt32

  /// No place: what ends at the end of a scope has none.
  @inlinable
  static var none: CallSite { unsafe CallSite(file: nil, fileByteCount: 0, line: 0) }

  /// The caller's own place: `CallSite(#fileID, #line)`.
  @inlinable
  public init(_ file: StaticString, _ line: UInt32) {
    if file.hasPointerRepresentation {
      unsafe self.init(file: file.utf8Start, fileByteCount: file.utf8CodeUnitCount, line: line)
    } else {
      unsafe self.init(file: nil, fileByteCount: 0, line: line)
    }
  }

  /// A place named by C's `__FILE__`, which lives as long as the program.
  public init(file: UnsafePointer<UInt8>?, fileByteCount: Int, line: UInt32) {
    unsafe self.file = file
    self.fileByteCount = fileByteCount
    self.line = line
  }

  /// The file's name in UTF-8.
  public var fileName: UnsafeBufferPointer<UInt8> {
    unsafe UnsafeBufferPointer(start: file, count: fileByteCount)
  }
}

extension CallSite: CustomStringConvertible {
  /// The place as `file:line`.
  public var description: String {
    // SAFETY: the bytes live as long as the program.
    (unsafe String(decoding: fileName, as: UTF8.self)) + ":" + String(line)
  }
}

/// Where a traced event stands, and who made it.
public struct TraceOrigin: BitwiseCopyable, Sendable {
  /// The line of a text trace from 1, or the record of a binary one.
  public var line: UInt64
  /// Nanoseconds of the trace's clock; counters count whatever they count.
  public var time: UInt64
  public var cpu: UInt32
  public var task: Int32
  /// The task's name, by number in the reader's table of names.
  public var taskName: UInt32
  /// The stack, by number in the reader's table of stacks; 0 when there is none.
  public var stack: UInt32
  public init(
    line: UInt64, time: UInt64, cpu: UInt32, task: Int32, taskName: UInt32, stack: UInt32
  ) {
    self.line = line
    self.time = time
    self.cpu = cpu
    self.task = task
    self.taskName = taskName
    self.stack = stack
  }
}
