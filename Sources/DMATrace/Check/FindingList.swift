/// What was found so far, and how much more there was.
struct FindingList {
  /// In the order in which they were found.
  private(set) var kept: [Finding] = []
  /// Findings beyond the limit: counted, not kept.
  private(set) var beyond = 0
  private var last = 0

  /// A broken driver repeats itself: more than this helps nobody and costs memory.
  static let limit = 1 << 16

  mutating func append(_ finding: Finding) {
    guard kept.count < Self.limit else {
      beyond += 1
      return
    }
    last += 1
    kept.append(finding)
    kept[kept.count - 1].serial = last
  }

  /// What was found after a serial number and depends on nothing to come; `told` moves on.
  func new(after told: inout Int) -> [Finding] {
    defer { told = last }
    guard last > told else { return [] }
    let known = told
    return kept.filter { $0.serial > known && $0.record < 0 }
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
