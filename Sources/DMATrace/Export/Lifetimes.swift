import DMA

/// Pairs mappings with their releases, for exports and pictures.
///
/// It judges nothing: of several mappings with one key the one that fits, else the oldest, goes.
struct Lifetimes {
  struct Life {
    var number: Int
    var record: MappingRecord
  }
  struct Key: Hashable {
    var address: UInt64
    var device: UInt32
    var space: UInt8
  }
  private(set) var live: [Key: [Life]] = [:]
  private(set) var count = 0

  /// What an event did to the lives: began one, or ended one.
  enum Change {
    case began(Life)
    case ended(Life)
  }

  mutating func change(_ event: TraceEvent, in context: TraceContext) -> Change? {
    switch event.kind {
    case .map, .mapScatter, .allocate:
      guard !event.flags.contains(.failed) else { return nil }
      let space: MappingRecord.Space =
        event.kind == .map ? .streaming : event.kind == .allocate ? .coherent : .scatter
      var record = MappingRecord(event, space: space, epoch: 0)
      if event.kind == .mapScatter {
        guard let first = unsafe context.physicalAddresses(event).first else { return nil }
        record.physicalAddress = first
        record.dmaAddress = unsafe context.busAddresses(event).first ?? 0
        record.byteCount = byteCount(of: event, in: context)
      }
      let life = Life(number: count, record: record)
      count += 1
      live[Self.key(record), default: []].append(life)
      return .began(life)
    case .unmap, .unmapScatter, .free:
      let key: Key
      if event.kind == .unmapScatter {
        guard let first = unsafe context.physicalAddresses(event).first else { return nil }
        key = Key(
          address: first, device: event.device, space: MappingRecord.Space.scatter.rawValue)
      } else {
        let space: MappingRecord.Space = event.kind == .unmap ? .streaming : .coherent
        key = Key(address: event.dmaAddress, device: event.device, space: space.rawValue)
      }
      guard var lives = live[key], !lives.isEmpty else { return nil }
      let fitting = lives.firstIndex {
        $0.record.byteCount == event.byteCount && $0.record.direction == event.direction
      }
      let life = lives.remove(at: fitting ?? 0)
      live[key] = lives.isEmpty ? nil : lives
      return .ended(life)
    default: return nil
    }
  }

  private static func key(_ record: MappingRecord) -> Key {
    Key(address: MappingBook.key(record), device: record.device, space: record.space.rawValue)
  }

  /// What never ended, in the order of the trace.
  var leftOver: [Life] {
    live.values.flatMap(\.self).sorted { $0.number < $1.number }
  }
}
