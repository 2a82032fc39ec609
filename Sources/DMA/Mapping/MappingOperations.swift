/// What a mapping does: one table a kind of mapping, one context a device.
///
/// Every function gets the device's core, a `DMADeviceCore`, whose `mappingContext` is the
/// mapping's own and whose limits it must honour. `traits` packs direction, attributes and what a
/// sync is for (`MappingTraits`). `numbers` is room for three words: results on success, limits
/// otherwise (`DMAStatus`). None may wait; all may be called from any thread, in interrupts and
/// with locks held, except `freeCoherent`, which is never called in an interrupt.
///
/// The direct mapping on a coherent machine is not called through this table: `DMADevice` does
/// its two comparisons itself.
@safe
public struct MappingOperations {
  /// (core, CPU address, physical address, bytes, traits, numbers): makes memory reachable and
  /// ready for the device; first number: its bus address.
  ///
  /// All or nothing.
  public typealias Map =
    @convention(c) (
      UnsafeMutableRawPointer, UInt, UInt64, Int, UInt32, UnsafeMutablePointer<UInt64>
    ) -> Int32
  /// (core, bus address, CPU address, bytes, traits, numbers): as mapped.
  ///
  /// Data the device wrote is visible to the CPU afterwards.
  public typealias Unmap =
    @convention(c) (
      UnsafeMutableRawPointer, UInt64, UInt, Int, UInt32, UnsafeMutablePointer<UInt64>
    ) -> Int32
  /// (core, bus address, CPU address, bytes, traits, numbers) of any part of a mapping.
  public typealias Sync = Unmap
  /// (core, bytes, numbers): memory that CPU and device see the same way at all times, zeroed,
  /// naturally aligned on both sides (R51); the numbers are bus address, CPU address and physical
  /// address.
  ///
  /// Bytes are 4096 times a power of two.
  public typealias AllocateCoherent =
    @convention(c) (UnsafeMutableRawPointer, Int, UnsafeMutablePointer<UInt64>) -> Int32
  /// (core, bus address, CPU address, physical address, bytes) as allocated.
  public typealias FreeCoherent =
    @convention(c) (UnsafeMutableRawPointer, UInt64, UInt, UInt64, Int) -> Void
  /// (core, `ScatterEntry` array, entries, traits, numbers): maps a list, merging where the mapping
  /// can (R89), within the device's constraints.
  ///
  /// On success the first number is the count of segments, and the entries' device fields are
  /// set. All or nothing: on failure every entry is as it was.
  public typealias MapScatter =
    @convention(c) (
      UnsafeMutableRawPointer, UnsafeMutableRawPointer, Int, UInt32, UnsafeMutablePointer<UInt64>
    ) -> Int32
  /// (core, `ScatterEntry` array, entries as mapped, traits, numbers): the list's own fields stay.
  public typealias UnmapScatter = MapScatter
  /// (core, `ScatterEntry` array, entries as mapped, traits, numbers) of the whole list.
  public typealias SyncScatter = MapScatter
  /// (core): the narrowest mask this mapping can serve for the device, as a raw mask.
  ///
  /// No side effects (R16).
  public typealias NarrowestMask = @convention(c) (UnsafeMutableRawPointer) -> UInt64
  /// (core): the mask that reaches all memory of the machine through this mapping.
  public typealias RequiredMask = NarrowestMask
  /// (core): the largest single mapping in bytes.
  public typealias MaxMappingSize = @convention(c) (UnsafeMutableRawPointer) -> Int
  /// (core): the device is gone (`DMADevice.remove()`) or quiet (`declareQuiet()`): what was put
  /// off is done now, and nothing that was unmapped can be reached any more.
  ///
  /// Mappings that are live stay, and are unmapped later. Called more than once.
  public typealias Detach = @convention(c) (UnsafeMutableRawPointer) -> Void

  public var map: Map
  public var unmap: Unmap
  public var sync: Sync
  public var mapScatter: MapScatter
  public var unmapScatter: UnmapScatter
  public var syncScatter: SyncScatter
  public var allocateCoherent: AllocateCoherent
  public var freeCoherent: FreeCoherent
  public var narrowestMask: NarrowestMask
  public var requiredMask: RequiredMask
  public var maxMappingSize: MaxMappingSize
  public var detach: Detach

  public init(
    map: @escaping Map, unmap: @escaping Unmap, sync: @escaping Sync,
    mapScatter: @escaping MapScatter, unmapScatter: @escaping UnmapScatter,
    syncScatter: @escaping SyncScatter,
    allocateCoherent: @escaping AllocateCoherent, freeCoherent: @escaping FreeCoherent,
    narrowestMask: @escaping NarrowestMask, requiredMask: @escaping RequiredMask,
    maxMappingSize: @escaping MaxMappingSize, detach: @escaping Detach
  ) {
    unsafe self.map = map
    unsafe self.unmap = unmap
    unsafe self.sync = sync
    unsafe self.mapScatter = mapScatter
    unsafe self.unmapScatter = unmapScatter
    unsafe self.syncScatter = syncScatter
    unsafe self.allocateCoherent = allocateCoherent
    unsafe self.freeCoherent = freeCoherent
    unsafe self.narrowestMask = narrowestMask
    unsafe self.requiredMask = requiredMask
    unsafe self.maxMappingSize = maxMappingSize
    unsafe self.detach = detach
  }
}

/// Direction, attributes and purpose of a streaming call in one word.
@frozen
public struct MappingTraits: Sendable {
  public let rawValue: UInt32

  @inlinable
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  @inlinable
  public init(_ direction: DMADirection, attributes: UInt32 = 0) {
    rawValue = UInt32(direction.rawValue) | attributes << 8
  }

  /// The traits of a map call whose caller has to test the result for the error marker.
  init(_ direction: DMADirection, isErrorCheckExpected: Bool) {
    rawValue = UInt32(direction.rawValue) | (isErrorCheckExpected ? 8 : 0)
  }

  /// The traits of a sync before the CPU looks.
  @inlinable
  public var forCPU: MappingTraits { MappingTraits(rawValue: rawValue | 4) }

  /// The direction of the call.
  @inlinable
  public var direction: DMADirection {
    switch rawValue & 3 {
    case 1: .toDevice
    case 2: .fromDevice
    default: .bidirectional
    }
  }

  /// Whether a sync hands the memory to the CPU; otherwise to the device.
  @inlinable
  public var isForCPU: Bool { rawValue & 4 != 0 }

  /// Whether the caller has to test the result, as in C; nothing to a mapping.
  var isErrorCheckExpected: Bool { rawValue & 8 != 0 }

  /// `DMA_ATTR_*` bits, Linux's numbering.
  @inlinable
  public var attributes: UInt32 { rawValue >> 8 }
}

/// A mapping ready to be given to devices: its functions, and what they work on.
@safe
public struct DMAMapping {
  package let operations: UnsafePointer<MappingOperations>
  package let context: UnsafeMutableRawPointer?
  let owner: AnyObject?
  /// Set for the direct mapping of a coherent machine: bus address = physical address + offset.
  let directOffset: UInt64?
  /// A word for reports: "direct", "bounce", "iommu", or a user's own.
  public let name: StaticString

  /// A mapping that does everything through its table.
  ///
  /// - Parameters:
  ///   - operations: must stay valid for the life of the program or of `owner`.
  ///   - context: what the device's core offers the functions as `mappingContext`.
  ///   - owner: kept until the platform ends. It must not hold the `Platform` object.
  public init(
    name: StaticString, operations: UnsafePointer<MappingOperations>,
    context: UnsafeMutableRawPointer?, owner: AnyObject?
  ) {
    self.name = name
    unsafe self.operations = operations
    unsafe self.context = context
    self.owner = owner
    self.directOffset = nil
  }

  /// The direct mapping; `operations` serve everything but streaming maps.
  package init(
    directOffset: UInt64, operations: UnsafePointer<MappingOperations>,
    context: UnsafeMutableRawPointer?, owner: AnyObject?
  ) {
    self.name = "direct"
    unsafe self.operations = operations
    unsafe self.context = context
    self.owner = owner
    self.directOffset = directOffset
  }
}
