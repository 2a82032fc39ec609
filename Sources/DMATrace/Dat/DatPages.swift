/// One CPU's pages of a ring buffer, record by record (include/linux/ring_buffer.h).
struct DatPages {
  let cpu: UInt32
  let bytes: DatBytes
  let pageSize: Int
  private var page = 0
  private var at = 0
  private var end = 0
  private(set) var time: UInt64 = 0
  /// The current record: where it lies, and its length; length 0 says that there is none left.
  private(set) var record = 0
  private(set) var length = 0
  /// Events were lost before the current record, how many if the page says so.
  private(set) var lost: UInt64?

  init(_ part: TraceDat.DatPart, pageSize: Int) {
    cpu = part.cpu
    bytes = part.bytes
    self.pageSize = pageSize
    page = -pageSize
  }

  /// Moves to the next record; false at the end.
  mutating func advance() -> Bool {
    lost = nil
    while true {
      if at + 4 > end {
        guard openPage() else {
          length = 0
          return false
        }
        continue
      }
      guard let header = bytes.number(at, 4) else { return finish() }
      let type = header & 31
      let delta = header >> 5
      switch type {
      case 29:  // padding: to the end of the page, or over a discarded record
        guard delta != 0, let size = bytes.number(at + 4, 4), size >= 4 else {
          at = end
          continue
        }
        time &+= delta
        at += 4 + Int(size)
      case 30:  // time extend
        time &+= delta &+ (bytes.number(at + 4, 4) ?? 0) << 27
        at += 8
      case 31:  // absolute time
        let low = delta | (bytes.number(at + 4, 4) ?? 0) << 27
        time = time & ~((1 << 59) - 1) | low
        at += 8
      default:
        time &+= delta
        if type == 0 {
          // The length counts its own word.
          let size = Int(bytes.number(at + 4, 4) ?? 0)
          guard size > 4 else {
            at = end
            continue
          }
          record = at + 8
          length = size - 4
          at += 4 + (size + 3) & ~3
        } else {
          record = at + 4
          length = Int(type) * 4
          at += 4 + length
        }
        guard record + length <= end, length >= 8 else {
          at = end
          continue
        }
        return true
      }
    }
  }

  private mutating func finish() -> Bool {
    length = 0
    return false
  }

  /// A page: its time, what is committed in it, and whether events are missing before it.
  private mutating func openPage() -> Bool {
    page += pageSize
    guard page + 16 <= bytes.count, let stamp = bytes.number(page, 8),
      let commit = bytes.number(page + 8, 8)
    else { return false }
    time = stamp
    let committed = min(Int(commit & 0xf_ffff), pageSize - 16)
    at = page + 16
    end = min(at + committed, bytes.count)
    if commit & 1 << 31 != 0 {
      lost = commit & 1 << 30 != 0 ? bytes.number(end, 8) ?? 0 : 0
    }
    return true
  }
}
