extension DMAChecker {
  /// How much a checker remembers and looks at.
  public struct Options: Sendable {
    /// Bytes it may use for what is live and what it has reported.
    ///
    /// When they are used up, mappings are no longer remembered, which is counted and said; what
    /// cannot be judged any more is "unknown". 64 bytes a mapping, at most 70 % of them filled.
    public var memoryLimit = 256 << 20
    /// How many ended mappings are remembered: they tell a double release from an unknown one, and
    /// say which mapping a device used too late.
    public var freedCountMax = 1024
    /// Looks for mappings that share a cache line.
    public var tracksCacheLines = true
    /// Bytes of a cache line: a power of two.
    public var cacheLineByteCount = 64
    /// Sums up memory that devices only read when it is mapped, and again at sync and unmap.
    ///
    /// Finds CPU writes without a sync; costs about a tenth of a nanosecond a byte.
    public var hashesContent = false
    /// Longer mappings are not summed up.
    public var hashedByteCountMax = 1 << 20
    /// Reads the machine's clock at every map, for ages in reports.
    public var recordsTime = true

    public init() {}
  }

  /// What a checker saw so far.
  public struct Statistics: Sendable, Equatable {
    /// Broken rules, repeats included.
    public var violationCount: UInt64 = 0
    /// Findings given to the handler: violations that differ in rule or place.
    public var findingCount: UInt64 = 0
    /// Events looked at.
    public var eventCount: UInt64 = 0
    /// Mappings, allocations and blocks that are live now.
    public var liveCount = 0
    /// Mappings that were not remembered because the memory limit was reached.
    public var lostMappingCount: UInt64 = 0
    /// Places in source that were not remembered for the same reason.
    public var lostSiteCount: UInt64 = 0
    /// Findings that were counted but not delivered for the same reason.
    public var lostFindingCount: UInt64 = 0
    /// Calls and accesses that could not be judged.
    public var unknownCount: UInt64 = 0

    /// Whether something was not remembered: then a finding may be missing, but none is false.
    public var isIncomplete: Bool {
      lostMappingCount + lostSiteCount + lostFindingCount + unknownCount > 0
    }

    public init() {}
  }
}
