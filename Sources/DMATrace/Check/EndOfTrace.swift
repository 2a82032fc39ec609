import DMA

/// What only the end of a trace, or of a driver, shows.
extension TraceChecker {
  /// Whether a device's driver is gone: said by name, or shown by what it did after a mark.
  ///
  /// A mark without a name concerns devices that gave back what they had; a device that goes on
  /// mapping is a bystander.
  private func hasLeft(_ device: Int) -> Bool {
    let state = unsafe devices[device]
    if options.isComplete { return true }
    if state.leaves { return true }
    guard state.mayLeave, state.isSeen else { return false }
    if state.freesSinceLeaving > 0 { return true }
    if state.mapsSinceLeaving > 0 { return false }
    return state.releasesSinceLeaving > 0
      || state.followsArrival && state.allocatedSinceArrival
  }

  /// What devices that left still hold is a leak.
  mutating func judgeLeaving(atEnd: Bool) {
    if !atEnd, options.isComplete { return }
    guard leaveSeen || options.isComplete else { return }
    var left = [Bool](repeating: false, count: deviceCapacity)
    for device in 1..<max(2, highestDevice + 1) where device < deviceCapacity {
      left[device] = hasLeft(device)
    }
    for number in 0..<book.recordCount {
      let record = unsafe book.records[number]
      guard record.flags.contains(.live), left[Int(record.device)] else { continue }
      if record.flags.contains(.suspected) {
        settle(number)
      } else if record.epoch != epoch {
        unknown.olderThanLoss += 1
      } else if record.releaseMayBeUnrecorded {
        unknown.longLists += 1
      } else {
        findings.append(
          Finding(.leak, device: record.device, culprit: nil, mapping: record))
      }
      if !atEnd { forget(number) }
    }
    leaveSeen = false
  }

  /// The mapping was indeed never released as it should have been.
  private mutating func settle(_ number: Int) {
    let record = unsafe book.records[number]
    findings.settle(
      number, adding: Finding(.leak, device: record.device, culprit: nil, mapping: record))
  }

  mutating func judgeEnd() {
    // What still waits for a proof that never came.
    unknown.mismatches += findings.withdraw { $0.record >= 0 }
    for overlap in overlaps where now &- overlap.event.time > 10_000_000 {
      let record = unsafe book.records[overlap.older]
      guard record.flags.contains(.live), record.line == overlap.olderRecord.line else { continue }
      findings.append(
        Finding(
          .overlappingCacheLine, device: overlap.event.device, culprit: overlap.event,
          mapping: record, expected: record.physicalAddress,
          found: overlap.event.physicalAddress))
    }
    for device in 1..<max(2, highestDevice + 1) where device < deviceCapacity {
      let state = unsafe devices[device]
      // A driver that takes some of its data and never any of this kind: a driver that takes none
      // at all may simply have been idle.
      if state.neverSynced > 0, state.syncedSkipping == 0, state.handedOver > 0, hasSyncEvents,
        var finding = state.firstNeverSynced
      {
        finding.repeats = state.neverSynced - 1
        findings.append(finding)
      }
    }
    withdrawIfPartial()
    withdrawAfterSilence()
    takeSample()
  }

  /// A trace of one CPU of several lacks the other half of everything.
  private mutating func withdrawIfPartial() {
    let seen = cpus.seenCount
    guard let all = context.cpuCount, all > 1, seen == 1, unknown.releases >= 2 else { return }
    unknown.withdrawnAsPartial += findings.withdraw { $0.rule.dependsOnCompleteness }
  }

  /// What a CPU lost after its last event leaves no mark: in a trace that lost events, a mapping
  /// that seems to be missing may have been made there, and one in the way released.
  private mutating func withdrawAfterSilence() {
    guard lossMarks > 0 else { return }
    let since = cpus.earliestSilence(atLeast: 8)
    unknown.withdrawnByLoss += findings.withdraw { $0.time > since && $0.rule.missesCall }
  }
}
