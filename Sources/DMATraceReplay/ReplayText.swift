import DMA

/// A replay in words.
package enum ReplayText {
  package static func text(_ replay: Replay) -> String {
    var lines: [String] = []
    let forced = replay.isForced ? ", everything forced through the pool" : ""
    lines.append("Replayed through the \(name(replay.mapping))\(forced).")
    for (_, device) in replay.devices.sorted(by: { $0.key < $1.key }) {
      lines += describe(device)
    }
    lines += describe(platform: replay)
    lines += replay.isLikeTraced ? describe(agreement: replay) : notCompared(replay)
    return lines.joined(separator: "\n") + "\n"
  }

  private static func name(_ mapping: ReplayMapping) -> String {
    switch mapping {
    case .direct: "direct mapping"
    case .bounce: "bounce mapping"
    case .strict: "IOMMU mapping, invalidating at each unmap"
    case .lazy: "IOMMU mapping, invalidating later"
    }
  }

  private static func describe(_ device: Replay.Device) -> [String] {
    var lines = [
      "  \(device.name), \(device.maskBits)-bit mask"
        + (device.isMaskGiven ? "" : " (inferred)"),
      "    \(device.calls) mappings, \(device.byteCount) bytes; \(device.segments) segments, "
        + "the longest of \(device.longestSegment) bytes",
    ]
    if device.allocations > 0 {
      lines.append("    \(device.allocations) allocations, \(device.allocatedBytes) bytes")
    }
    if device.bouncedCalls > 0 {
      lines.append("    \(device.bouncedCalls) bounced, \(device.bouncedBytes) bytes")
    }
    if let first = device.firstFailure {
      let count = device.failures.values.reduce(0, +)
      lines.append(
        "    \(count) failed, the first at line \(first.line), \(seconds(first.time)) s: "
          + "\(first.error)")
    }
    if device.notReplayed > 0 {
      lines.append(
        "    \(device.notReplayed) calls not made again: failed there, or lengths not in the trace")
    }
    return lines
  }

  private static func describe(platform replay: Replay) -> [String] {
    var lines: [String] = []
    if replay.mapping == .bounce {
      lines.append(
        "  pool: \(replay.peakSlots) of \(replay.totalSlots) slots of 2048 bytes at the peak; "
          + "\(replay.copiedBytes) bytes copied")
    }
    if replay.mapping.isIOMMU {
      lines.append(
        "  IOMMU: \(replay.peakPages) pages mapped at the peak, \(replay.tablePages) pages of "
          + "tables at the end, \(replay.rangeInvalidations) invalidations of ranges and "
          + "\(replay.domainInvalidations) of the whole domain")
    }
    if replay.unmatched > 0 {
      lines.append(
        "  \(replay.unmatched) releases and syncs of what the trace never mapped: passed over")
    }
    return lines
  }

  private static func notCompared(_ replay: Replay) -> [String] {
    [
      "Not compared with the trace, whose platform was another "
        + "(\(name(replay.traced.mapping))\(replay.traced.isForced ? ", forced" : ""))."
    ]
  }

  private static func describe(agreement replay: Replay) -> [String] {
    var lines = ["Compared with the trace, whose platform was like this:"]
    for certainty in ReplayAgreement.Certainty.allCases {
      let total = replay.agreement.total(certainty)
      let title =
        switch certainty {
        case .exact: "exact"
        case .inferred: "inferred by a rule"
        case .undeterminable: "undeterminable"
        }
      lines.append("  \(title): \(total.agreed) of \(total.count) agree")
      for aspect in ReplayAgreement.Aspect.allCases where aspect.certainty == certainty {
        let count = replay.agreement[aspect]
        guard count.agreed + count.differed > 0 else { continue }
        var line = "    \(aspect.rawValue): \(count.agreed) of \(count.agreed + count.differed)"
        if certainty != .undeterminable, let first = count.firstLine {
          line += ", the first that differs at line \(first)"
        }
        lines.append(line)
      }
    }
    return lines
  }

  private static func seconds(_ time: UInt64) -> String {
    let micro = String(time % 1_000_000_000 / 1000)
    return "\(time / 1_000_000_000)." + String(repeating: "0", count: 6 - micro.utf8.count) + micro
  }
}
