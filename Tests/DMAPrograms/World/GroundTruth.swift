public import DMA

/// What a program did to the machine, found without any checker.
public struct GroundTruth: Sendable {
  /// Accesses of devices to bytes that were not theirs, or not in this direction, or not then.
  public var wrongOwnerCount = 0
  /// Accesses that the bus or the IOMMU refused, or let through a translation that was over.
  public var faultCount = 0
  /// Calls that the API refused because they were wrong, by line.
  public var refusals: [UInt32: DMAError] = [:]
  /// Mappings, memory and blocks that were still there at the end.
  public var leftCount = 0
  /// What devices and the CPU read, by line: another program that reads something else there read
  /// stale or foreign bytes.
  public var reads: [UInt32: UInt64] = [:]

  public init() {}

  /// What a mutant did that its original did not; empty when nothing.
  public func harm(against original: GroundTruth) -> [String] {
    var harm: [String] = []
    if wrongOwnerCount > original.wrongOwnerCount { harm.append("bytes at the wrong owner") }
    if faultCount > original.faultCount { harm.append("a fault") }
    if leftCount > original.leftCount { harm.append("something left") }
    if refusals.count > original.refusals.count { harm.append("a refused call") }
    for (line, value) in reads {
      if let was = original.reads[line], was != value {
        harm.append("stale or foreign bytes")
        break
      }
    }
    return harm
  }
}
