public import DMA

/// A broken rule that the trace proves.
public struct Finding: Sendable {
  public var rule: Rule
  public var device: UInt32
  /// Who broke it: the release, the sync, the second mapping.
  ///
  /// nil for a leak.
  public var culprit: Culprit?
  /// The mapping it is about, as far as the trace shows it.
  public var mapping: Subject?
  /// Who had released it, for what is used after its release.
  public var released: TraceOrigin?
  /// The device that owns the mapping, when another one touched it.
  public var otherDevice: UInt32 = 0
  /// What was expected and what was found: sizes, directions, counts, addresses.
  public var expected: UInt64 = 0
  public var found: UInt64 = 0
  /// How many more of the same kind were folded into this one.
  public var repeats = 0
  /// Lines of the first of those.
  public var repeatLines: [UInt64] = []
  /// What follows from it and is no error of its own.
  public var consequences: [Finding] = []
  /// The record a finding depends on until the end; -1 for none.
  var record = -1
  /// Counted from 1 in the order in which findings were made.
  var serial = 0

  /// A call that broke a rule.
  public struct Culprit: Sendable {
    public var event: UInt16
    public var origin: TraceOrigin
    public var address: UInt64
    public var byteCount: UInt64
    public var direction: UInt8
    public var entryCount: UInt32
  }

  /// The mapping a finding is about.
  public struct Subject: Sendable {
    public var origin: TraceOrigin
    public var family: DMAEvent.Family
    public var dmaAddress: UInt64
    public var physicalAddress: UInt64
    public var hasPhysicalAddress: Bool
    public var byteCount: UInt64
    public var direction: UInt8
    public var entryCount: UInt32
  }

  init(
    _ rule: Rule, device: UInt32, culprit: TraceEvent?, mapping: MappingRecord?,
    expected: UInt64 = 0, found: UInt64 = 0
  ) {
    self.rule = rule
    self.device = device
    self.expected = expected
    self.found = found
    if let event = culprit {
      self.culprit = Culprit(
        event: event.name, origin: event.origin,
        address: event.known.contains(.dmaAddress) ? event.dmaAddress : event.physicalAddress,
        byteCount: event.byteCount, direction: event.direction, entryCount: event.entryCount)
    }
    if let record = mapping {
      self.mapping = Subject(
        origin: record.origin, family: record.family, dmaAddress: record.dmaAddress,
        physicalAddress: record.physicalAddress,
        hasPhysicalAddress: record.flags.contains(.physical), byteCount: record.byteCount,
        direction: record.direction, entryCount: record.entryCount)
    }
  }

  /// The line the finding stands at: the culprit's, or for a leak the mapping's.
  public var line: UInt64 { culprit?.origin.line ?? mapping?.origin.line ?? 0 }
  var time: UInt64 { culprit?.origin.time ?? mapping?.origin.time ?? 0 }
}
