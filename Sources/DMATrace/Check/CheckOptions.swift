import DMA

/// How a trace is to be checked.
public struct CheckOptions: Sendable {
  /// The trace covers the devices' whole life: what is alive at its end is a leak, and what is
  /// released without having been mapped is misuse.
  public var isComplete = false
  /// What the machine and its devices can do, when the user says so.
  public var limits = TraceLimits()

  public init() {}
}

/// Why something was not judged, counted.
public struct UnknownCounts: Sendable, Equatable {
  /// Releases of memory that may have been mapped before the trace began, or in a gap.
  public var releases = 0
  public var syncs = 0
  /// Releases that differ from a mapping, where events not seen could explain it.
  public var mismatches = 0
  /// Lists too long for the kernel to record their release.
  public var longLists = 0
  /// Lists printed in a form that holds no addresses.
  public var undecodable = 0
  /// Alive at the end, but older than the last loss of events.
  public var olderThanLoss = 0
  /// Findings withdrawn because a loss of events could explain them.
  public var withdrawnByLoss = 0
  /// Findings withdrawn because the trace holds the events of one CPU only.
  public var withdrawnAsPartial = 0
  public init() {}

  public var total: Int {
    releases + syncs + mismatches + longLists + undecodable + olderThanLoss + withdrawnByLoss
      + withdrawnAsPartial
  }
}
