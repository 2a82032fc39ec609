import DMA

/// The mappings released lately, by their keys: who releases one again is found here.
///
/// They are written one behind the other into a ring, which costs a processor's cache less than
/// writing each to a place of its own; a table holds the newest of each bucket, and each entry the
/// one before it.
@safe
struct ReleaseHistory {
  /// A mapping that is gone, and who let it go.
  struct Released {
    var record: MappingRecord
    var release: TraceOrigin
    /// The epoch of the release.
    var epoch: UInt32
    /// The number of the release before it in its bucket.
    var previous: UInt32
  }

  private static let capacity: UInt32 = 1 << 14
  // SAFETY: owned; entries below `min(count, capacity)` are initialized, all heads are.
  private let ring: UnsafeMutablePointer<Released>
  /// Numbers of releases, counted from 1; 0 is none.
  private let heads: UnsafeMutablePointer<UInt32>
  private var count: UInt32 = 0

  init() {
    // Pages nobody writes to cost nothing, so small traces stay small.
    unsafe ring = .allocate(capacity: Int(Self.capacity))
    unsafe heads = .allocate(capacity: Int(Self.capacity))
    unsafe heads.initialize(repeating: 0, count: Int(Self.capacity))
  }

  func deallocate() {
    unsafe ring.deallocate()
    unsafe heads.deallocate()
  }

  @inline(__always)
  private static func bucket(_ address: UInt64, _ owner: UInt32) -> Int {
    let mixed = (address ^ (UInt64(owner) &<< 40)) &* 0xd6e8_feb8_6659_fd93
    return Int(truncatingIfNeeded: mixed &>> 40) & Int(capacity &- 1)
  }

  @inline(__always)
  mutating func add(_ record: MappingRecord, _ release: TraceOrigin, _ epoch: UInt32) {
    count &+= 1
    if count == 0 { count = 1 }
    let bucket = Self.bucket(
      MappingBook.key(record), MappingBook.owner(record.device, record.space))
    let entry = unsafe ring + Int(count & (Self.capacity &- 1))
    unsafe entry.initialize(
      to: Released(record: record, release: release, epoch: epoch, previous: heads[bucket]))
    unsafe heads[bucket] = count
  }

  /// The newest release of a key, if it is still in the ring.
  func released(_ address: UInt64, _ device: UInt32, _ space: MappingRecord.Space) -> Released? {
    var number = unsafe heads[Self.bucket(address, MappingBook.owner(device, space))]
    var steps = 64
    // Older entries have been overwritten; a bucket that one busy address fills is not searched on.
    while number != 0, count &- number < Self.capacity, steps > 0 {
      let entry = unsafe ring[Int(number & (Self.capacity &- 1))]
      if entry.record.device == device, entry.record.space == space,
        MappingBook.key(entry.record) == address
      {
        return entry
      }
      steps -= 1
      number = entry.previous
    }
    return nil
  }
}
