import DMA
import DMAMapping
package import DMATrace
import SimulatedMachine

/// What stands between the devices and memory.
package enum ReplayMapping: String, CaseIterable, Sendable {
  case direct, bounce
  case strict = "iommu-strict"
  case lazy = "iommu-lazy"

  package var isIOMMU: Bool { self == .strict || self == .lazy }
}

/// How to replay: what the user says; the rest is as the trace shows it.
package struct ReplayOptions: Sendable {
  package var mapping: ReplayMapping?
  /// RAM of the machine; decides where pools and tables lie.
  package var memoryByteCount: UInt64 = 6 << 30
  /// The mask of every device, whatever `limits` says.
  package var maskBits: Int?
  /// Bytes of the bounce pool.
  package var poolByteCount: UInt64 = 64 << 20
  /// Everything bounces.
  package var isForced: Bool?
  /// Masks and segment limits of devices, as the machine's facts tell them.
  package var limits = TraceLimits()

  package init() {}
}

/// The platform a trace was recorded on, as far as the trace shows it.
package struct TracedPlatform: Sendable {
  package private(set) var mapping = ReplayMapping.direct
  package private(set) var isForced = false
  /// By device: what bounced and what did not, as last addresses of memory.
  private var lowestBounced: [UInt32: UInt64] = [:]
  /// Devices whose bounced addresses keep the low twelve bits.
  private var keepsPlace: Set<UInt32> = []
  /// By device: the longest segment.
  package private(set) var longestSegment: [UInt32: UInt64] = [:]

  package init(_ trace: ReplayTrace) {
    var moved = 0
    var kept = 0
    func see(_ call: ReplayTrace.Call, _ bus: UInt64, _ physical: UInt64, _ length: UInt64) {
      guard bus != physical else { return }
      moved += 1
      if bus & 0xfff == physical & 0xfff { kept += 1 }
      if bus & 0x7ff != 0 { keepsPlace.insert(call.device) }
      lowestBounced[call.device] = min(
        lowestBounced[call.device] ?? .max, physical &+ max(length, 1) &- 1)
    }
    for call in trace.calls where !call.isFailed && call.family != .resource {
      if call.kind == .map { see(call, call.bus, call.physical, call.byteCount) }
      guard call.kind == .mapScatter else { continue }
      for length in trace.lengths(call) {
        longestSegment[call.device] = max(longestSegment[call.device] ?? 0, length)
      }
      guard call.entryCount == call.segmentCount else {
        // Only an IOMMU merges entries.
        moved += 1
        kept += 1
        continue
      }
      let lists = zip(
        zip(trace.busAddresses(call), trace.physicalAddresses(call)), trace.lengths(call))
      for ((bus, physical), length) in lists { see(call, bus, physical, length) }
    }
    guard moved > 0 else { return }
    let isBounce = trace.bouncedEvents > 0 || trace.translationEvents == 0 && kept < moved
    mapping = isBounce ? .bounce : .strict
    isForced = trace.forcedEvents > 0
  }

  /// The mask under which exactly what bounced had to bounce: the widest below the lowest of it.
  package func inferredMaskBits(_ device: UInt32) -> Int {
    guard mapping == .bounce, !isForced, let lowest = lowestBounced[device] else { return 64 }
    return max(1, 63 - lowest.leadingZeroBitCount)
  }

  /// The low address bits that bounced copies of a device keep (its min_align_mask): twelve when
  /// any of them does not begin at a slot, else none.
  package func inferredAlignmentMask(_ device: UInt32) -> UInt64 {
    mapping == .bounce && keepsPlace.contains(device) ? 4095 : 0
  }
}
