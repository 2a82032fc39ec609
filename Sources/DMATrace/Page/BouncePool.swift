import DMA

/// How full the bounce pool was: all devices of a machine share it.
///
/// A pool has slots of 2 KiB in sets of 128: a piece of more than 256 KiB never fits, however empty
/// the pool is.
struct BouncePool {
  /// Slots in use after each change.
  private(set) var used: [(time: UInt64, slots: Int)] = []
  private(set) var current = 0
  private(set) var peak = 0
  /// The longest piece, in bytes.
  private(set) var longest: UInt64 = 0
  /// Bounces whose mapping's own event is still to come.
  private var pending: Set<Piece> = []
  /// By the line of a mapping.
  private var slotsOf: [UInt64: Int] = [:]

  private struct Piece: Hashable {
    var device: UInt32
    var memory: UInt64
  }

  static let slotByteCount: UInt64 = 2048
  static let longestPiece: UInt64 = 128 * 2048
  /// Linux's pool when nobody says otherwise: 64 MiB.
  static let usualSlots = 32768

  mutating func bounced(_ event: TraceEvent) {
    // Calls that failed leave theirs behind.
    if pending.count > 4096 { pending.removeAll() }
    pending.insert(Piece(device: event.device, memory: event.physicalAddress))
    longest = max(longest, event.byteCount)
  }

  /// A mapping has come to be, with the memory of its pieces and their lengths.
  mutating func began(_ record: MappingRecord, _ pieces: [(memory: UInt64, byteCount: UInt64)]) {
    var slots = 0
    for piece in pieces
    where pending.remove(Piece(device: record.device, memory: piece.memory)) != nil {
      slots += Int(
        clamping: (piece.byteCount &+ Self.slotByteCount &- 1) / Self.slotByteCount)
    }
    guard slots > 0 else { return }
    slotsOf[record.line] = slots
    change(by: slots, at: record.time)
  }

  mutating func ended(_ record: MappingRecord, at time: UInt64) {
    guard let slots = slotsOf.removeValue(forKey: record.line) else { return }
    change(by: -slots, at: time)
  }

  private mutating func change(by slots: Int, at time: UInt64) {
    current += slots
    peak = max(peak, current)
    used.append((time, current))
    // Neighbours are joined where it is too fine to draw; the higher one stays.
    guard used.count > 40_000 else { return }
    used = stride(from: 0, to: used.count - 1, by: 2).map { index in
      used[index].slots > used[index + 1].slots ? used[index] : used[index + 1]
    }
  }
}
