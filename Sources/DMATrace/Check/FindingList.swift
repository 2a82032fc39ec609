/// What was found so far, and how much more there was.
struct FindingList {
  /// In the order in which they were found.
  private(set) var kept: [Finding] = []
  /// Findings beyond the limit: counted, not kept.
  private(set) var beyond = 0

  /// A broken driver repeats itself: more than this helps nobody and costs memory.
  static let limit = 1 << 16

  mutating func append(_ finding: Finding) {
    guard kept.count < Self.limit else {
      beyond += 1
      return
    }
    kept.append(finding)
  }

  /// Takes findings back and returns how many there were.
  mutating func withdraw(where isWithdrawn: (Finding) -> Bool) -> Int {
    let before = kept.count
    kept.removeAll(where: isWithdrawn)
    return before - kept.count
  }

  /// A mapping that a finding supposes to be lost was indeed never released.
  mutating func settle(_ record: Int, adding consequence: Finding) {
    for index in kept.indices where kept[index].record == record {
      kept[index].record = -1
      if kept[index].rule == .wrongDevice { kept[index].consequences.append(consequence) }
    }
  }
}
