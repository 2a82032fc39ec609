import DMA
import DMAChecker

/// How many mappings share a line, and how far addresses go.
extension RuleTests {
  /// Tells of a map or an allocation whose last byte lies at an address.
  ///
  /// No mapping of ours gives an address beyond the mask: what a broken one would tell is told here.
  private static func tell(
    _ t: Trial, _ kind: DMAEvent.Kind, last: UInt64, byteCount: UInt64, _ site: CallSite
  ) {
    var event = DMAEvent(kind, family: kind == .map ? .single : .coherent, device: t.a.id)
    event.dmaAddress = last - (byteCount - 1)
    event.byteCount = byteCount
    event.known = [.dmaAddress, .byteCount]
    event.direction = kind == .map ? .toDevice : nil
    event.origin = .callSite(site)
    t.a.tell(event)
  }

  static let limitBreakers: [Program] = [
    Program(.tooManyOverlaps, "the eighth of one line", after: [.overlappingCacheLine]) { t in
      let p = t.page()
      for index in 0..<7 { _ = try t.map(p + UInt(index * 8), 8, .fromDevice) }
      _ = try t.map(p + 56, 8, .fromDevice, t.bad())
    },
    Program(
      .tooManyOverlaps, "eight times the same page, for two devices",
      after: [.overlappingCacheLine]
    ) { t in
      let p = t.page()
      for index in 0..<7 {
        _ = try t.map(p, 4096, .bidirectional, on: index < 4 ? t.a : t.b)
      }
      _ = try t.map(p, 4096, .bidirectional, on: t.a, t.bad())
    },
    Program(.beyondMask, "a map, by one byte") { t in
      tell(t, .map, last: 0x1_0000_0000, byteCount: 64, t.bad())
    },
    Program(.beyondMask, "a map, all of it") { t in
      tell(t, .map, last: 0x2_0000_0fff, byteCount: 4096, t.bad())
    },
    Program(.beyondMask, "an allocation, of one byte") { t in
      tell(t, .allocate, last: 0x1_0000_0000, byteCount: 1, t.bad())
    },
    Program(.beyondMask, "a map, for a mask of 24 bits") { t in
      try t.a.setMask(.bits24)
      tell(t, .map, last: 0x100_0000, byteCount: 16, t.bad())
    },
  ]

  static let limitMisses: [Program] = [
    Program(.tooManyOverlaps, "seven of one line", after: [.overlappingCacheLine]) { t in
      let p = t.page()
      for index in 0..<7 { _ = try t.map(p + UInt(index * 8), 8, .fromDevice) }
    },
    Program(
      .tooManyOverlaps, "many of one line, never more than seven at once",
      after: [.overlappingCacheLine]
    ) { t in
      let p = t.page()
      var live: [DMAAddress] = []
      for index in 0..<32 {
        if live.count == 7 { try t.unmap(live.removeFirst(), 2, .fromDevice) }
        live.append(try t.map(p + UInt(index * 2), 2, .fromDevice))
      }
    },
    Program(.beyondMask, "a map up to the last address") { t in
      tell(t, .map, last: 0xffff_ffff, byteCount: 64, CallSite(#fileID, #line))
    },
    Program(.beyondMask, "an allocation up to the last address") { t in
      tell(t, .allocate, last: 0xffff_ffff, byteCount: 1, CallSite(#fileID, #line))
    },
    Program(.beyondMask, "beyond 32 bits, for a mask of 64") { t in
      try t.a.setMask(.bits64)
      tell(t, .map, last: 0x1_0000_0000, byteCount: 64, CallSite(#fileID, #line))
    },
  ]
}
