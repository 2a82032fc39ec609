/// What is kept for a device off the hot path: its coherent memory and its quarantine.
@safe
struct DeviceBooks: ~Copyable {
  /// One piece of coherent memory.
  struct Coherent: BitwiseCopyable {
    var cpuAddress: UInt
    var physicalAddress: UInt64
    /// What the caller asked for.
    var byteCount: Int
    /// What was allocated.
    var allocatedByteCount: Int
  }

  /// Memory of a dropped mapping, which its device may still be using.
  struct Quarantined: BitwiseCopyable {
    var address: UInt64
    var cpuAddress: UInt
    var byteCount: Int
    var traits: UInt32
    var memory: BufferMemory
  }

  /// A dropped list, which its device may still be using.
  @safe
  struct QuarantinedList: BitwiseCopyable {
    var storage: UnsafeMutablePointer<ScatterStorage>
    var segmentCount: Int
    var isEach: Bool
    var traits: UInt32
  }

  let lock = RawSpinLock()
  /// By bus address.
  var coherent = AddressTable<Coherent>()
  /// Streaming mappings that were made by address.
  var classic = RangeTable<ClassicRecord>()
  /// Coherent memory whose owner ended in an interrupt, to be freed from ordinary code (T10).
  var deferred: [UInt64] = []
  var quarantine: [Quarantined] = []
  var quarantinedLists: [QuarantinedList] = []
  /// All pools that have a core, newest first.
  var pools: UnsafeMutablePointer<PoolCore>? = nil
  /// How many pools there ever were.
  var poolCount: UInt32 = 0
  /// Pools whose last block went in an interrupt, to be freed from ordinary code (T10).
  var endedPools: [UnsafeMutablePointer<PoolCore>] = unsafe []
}
