import DMA
import DMAMapping

/// Counts what mappings tell of themselves.
@safe
final class Notices {
  let count: UnsafeMutablePointer<Int>

  init() {
    unsafe count = .allocate(capacity: 1)
    unsafe count.initialize(to: 0)
  }

  deinit { unsafe count.deallocate() }

  var receiver: MappingNoticeReceiver {
    unsafe MappingNoticeReceiver(
      receive: { context, notice in
        let notice = unsafe notice.assumingMemoryBound(to: MappingNotice.self).pointee
        let words = notice.first + notice.second + notice.third
        guard notice.kind == .bouncePoolFull, words > 0, notice.description.utf8.count > 0 else {
          return
        }
        unsafe context?.assumingMemoryBound(to: Int.self).pointee += 1
      }, context: UnsafeMutableRawPointer(count), owner: self)
  }
}

func useBounce(_ seen: inout Expectations, _ machine: SmallMachine) {
  let notices = Notices()
  var options = BounceMapping.Options()
  options.slotCount = 128
  options.areaCount = 1
  options.limit = .bits24
  options.slotCountMax = 0
  options.isForced = true
  options.minimumAlignmentMask = 0
  options.offset = 0
  options.notices = notices.receiver
  do throws(DMAError) {
    let bounce = try BounceMapping(platform: machine.platform, options: options)
    let device = DMADevice(name: "far", platform: machine.platform, mapping: bounce.mapping)
    let mapped = try StreamingBuffer(byteCount: 3000, in: machine.platform)
      .map(Bidirectional.self, for: device).get()
    let statistics: BounceMapping.Statistics = bounce.statistics
    seen.expect(statistics.totalSlots == 128 && statistics.usedSlots == 2)
    seen.expect(statistics.bytesIn == 3000 && statistics.highWaterSlots >= 2)
    _ = mapped.unmap()
    bounce.resetHighWater()
    seen.expect(bounce.statistics.bytesOut == 3000 && bounce.statistics.highWaterSlots == 0)
    // Slots for 160 KiB of 256, and then not for 100.
    let first = try StreamingBuffer(byteCount: 160 << 10, in: machine.platform)
      .map(FromDevice.self, for: device).get()
    let second = try StreamingBuffer(byteCount: 100 << 10, in: machine.platform)
      .map(FromDevice.self, for: device)
    if case .failed(_, let error) = second {
      seen.expect(unsafe notices.count.pointee > 0 && error.isTransient)
    } else {
      seen.expect(false)
    }
    _ = first.unmap()
  } catch { seen.expect(false) }
}
