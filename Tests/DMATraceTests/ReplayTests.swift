import DMA
import DMATrace
import DMATraceReplay
import Testing

@Suite(.enabled(if: SharedTraces.isPresent, "../shared/traces is absent"))
struct ReplayTests {
  static var traces: [(trace: String, facts: String)] {
    let drivers = SharedTraces.files(in: "", ending: ".facts.txt")
      // The longest takes a minute in a debug build.
      .filter { !$0.contains("big-multi") }
      .map { ("\($0.dropLast(".facts.txt".count)).txt.xz", $0) }
    let root = SharedTraces.root ?? ""
    return drivers
      + ["direct", "vtd", "swiotlb"].flatMap { mode in
        ["clean", "attrs", "bigsg", "sg_unmap_ents", "ignored_error"].map {
          (
            "\(root)/bugs/\($0)/\(mode).stock.txt",
            "\(root)/bugs/machine.\(mode).stock.facts.txt"
          )
        }
      }
  }

  static func replay(
    _ trace: String, facts: String? = nil, _ change: (inout ReplayOptions) -> Void = { _ in }
  ) throws -> Replay {
    var options = ReplayOptions()
    if let facts { options.limits.add(try SharedTraces.text(facts)) }
    change(&options)
    return try Replay(trace, options: options)
  }

  @Test(arguments: traces)
  func `on a platform like the traced one all that can be known agrees`(
    _ trace: String, _ facts: String
  ) throws {
    let replay = try Self.replay(trace, facts: facts)
    #expect(replay.isLikeTraced)
    for certainty in [ReplayAgreement.Certainty.exact, .inferred] {
      let total = replay.agreement.total(certainty)
      #expect(total.agreed == total.count, "\(ReplayText.text(replay))")
    }
    // Only a trace without a single streaming mapping has nothing to compare.
    if !trace.contains("hda-direct") {
      #expect(replay.agreement.total(.exact).count > 10)
    }
    for (_, device) in replay.devices { #expect(device.failures.isEmpty) }
  }

  /// `io_tlb_used_hiwater` in the machine's facts.
  @Test(arguments: [("e1000-bounce-6g", 296), ("ahci-swiotlb-force", 611)])
  func `the bounce pool's peak is the one the kernel counted`(_ name: String, _ peak: Int) throws {
    let root = try #require(SharedTraces.root)
    let facts = "\(root)/\(name).facts.txt"
    #expect(try SharedTraces.text(facts).contains("io_tlb_used_hiwater \(peak)\n"))
    let replay = try Self.replay("\(root)/\(name).txt.xz", facts: facts)
    #expect(replay.mapping == .bounce)
    #expect(replay.peakSlots == peak)
  }

  @Test func `what if the pool were smaller than the peak`() throws {
    let root = try #require(SharedTraces.root)
    let replay = try Self.replay("\(root)/e1000-bounce-6g.txt.xz") {
      $0.poolByteCount = 256 << 10
    }
    let device = try #require(replay.devices.values.first)
    let failure = try #require(device.firstFailure)
    guard case .bouncePoolFull(_, let slots, let used) = failure.error else {
      Issue.record("\(failure.error)")
      return
    }
    #expect(slots == 128)
    #expect(used > 100)
    // Without facts the mask is inferred, and so is what should bounce.
    let inferred = replay.agreement.total(.inferred)
    #expect(inferred.agreed < inferred.count)
  }

  @Test func `what if a 64-bit device without IOMMU had 24 bits, or an IOMMU, or forced bouncing`()
    throws
  {
    let root = try #require(SharedTraces.root)
    let trace = "\(root)/rtl8139-direct.txt.xz"
    let traced = try Self.replay(trace)
    #expect(traced.mapping == .direct)
    let narrow = try Self.replay(trace) {
      $0.mapping = .bounce
      $0.maskBits = 32
    }
    #expect(!narrow.isLikeTraced)
    #expect(narrow.copiedBytes == 0)
    let forced = try Self.replay(trace) {
      $0.mapping = .bounce
      $0.isForced = true
    }
    let device = try #require(forced.devices.values.first)
    #expect(device.bouncedCalls == device.calls)
    #expect(forced.copiedBytes >= device.bouncedBytes)
    let translated = try Self.replay(trace) { $0.mapping = .lazy }
    #expect(translated.peakPages > 0)
    #expect(translated.rangeInvalidations + translated.domainInvalidations > 0)
    #expect(translated.devices.values.allSatisfy { $0.failures.isEmpty })
  }
}
