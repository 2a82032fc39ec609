import Glibc

/// How many mappings a text trace leaves alive, and bytes per device: the quick look.
///
/// It counts `dma_map_*` against `dma_unmap_*` in the order of the lines and judges nothing; use
/// `TraceCheck` for that.
public struct LeakCount: Sendable {
  public struct Device: Sendable {
    public var name: String
    public var maps = 0
    public var unmaps = 0
    public var bytes: UInt64 = 0
  }
  public var devices: [Device] = []
  public var events = 0
  /// Mapped and not unmapped.
  public var left = 0
  /// Unmapped without a map, mapped twice, or unmapped otherwise than mapped.
  public var odd = 0

  /// Counts a file again and again, and measures it.
  ///
  /// - Returns: the counts, and nanoseconds of each turn with the file mapped already: of the
  ///   thread's own time for one thread, else of the clock.
  /// - Throws: as `count(_:threads:)`.
  public static func measure(_ path: String, threads: Int, turns: Int)
    throws(TraceInputError) -> (count: LeakCount, nanoseconds: [UInt64])
  {
    let mapped = try map(path)
    // A turn that is not measured brings the file into memory.
    var result = unsafe count(mapped.base, mapped.count, threads: max(1, min(threads, 64)))
    var times: [UInt64] = []
    for _ in 0..<max(turns, 1) {
      let begun = now(isOwn: threads == 1)
      result = unsafe count(mapped.base, mapped.count, threads: max(1, min(threads, 64)))
      times.append(now(isOwn: threads == 1) - begun)
    }
    return (result, times)
  }

  private static func now(isOwn: Bool) -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(isOwn ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Counts a file of text, not packed.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - threads: how many stretches of it are read at once.
  /// - Throws: `TraceInputError.cannotRead`.
  public static func count(_ path: String, threads: Int = 1) throws(TraceInputError) -> LeakCount {
    let mapped = try map(path)
    return unsafe count(
      mapped.base, mapped.count, threads: max(1, min(threads, 64)), isFile: true)
  }

  private static func map(_ path: String) throws(TraceInputError) -> MappedFile {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw .cannotRead(path: path, errno: errno) }
    defer { close(file) }
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw .cannotRead(path: path, errno: errno) }
    guard status.st_mode & S_IFMT == S_IFREG,
      let mapped = MappedFile(file, count: Int(status.st_size))
    else { throw .cannotRead(path: path, errno: EINVAL) }
    return mapped
  }

  /// Counts text in memory.
  public static func count(bytes: [UInt8], threads: Int = 1) -> LeakCount {
    let padded = bytes + [UInt8](repeating: 0, count: Bytes.readablePadding)
    return unsafe padded.withUnsafeBufferPointer { padded in
      guard let base = padded.baseAddress else { return LeakCount() }
      return unsafe count(base, bytes.count, threads: max(1, min(threads, 64)))
    }
  }

  /// Counts text in memory, with `Bytes.readablePadding` readable bytes behind it.
  static func count(
    _ base: UnsafePointer<UInt8>, _ count: Int, threads: Int, isFile: Bool = false
  ) -> LeakCount {
    var jobs: [LeakJob] = []
    var start = 0
    for index in 1...threads {
      var end = index == threads ? count : count / threads * index
      while end < count, end > start, unsafe base[end - 1] != 0x0a { end += 1 }
      if end > start { unsafe jobs.append(LeakJob(base + start, base + end, isFile: isFile)) }
      start = max(start, end)
    }
    for job in jobs.dropFirst() { job.start() }
    jobs.first?.run()
    for job in jobs.dropFirst() { job.join() }
    return join(jobs)
  }

  /// Puts the stretches together, in order: what one left may be released in a later one.
  private static func join(_ jobs: [LeakJob]) -> LeakCount {
    var result = LeakCount()
    var total = LeakTable()
    var numbers: [String: Int] = [:]
    for job in jobs {
      var local: [UInt64] = []
      for device in job.scan.devices {
        let number = numbers[device.name] ?? result.devices.count
        if number == result.devices.count {
          numbers[device.name] = number
          result.devices.append(Device(name: device.name))
        }
        result.devices[number].maps += device.maps
        result.devices[number].unmaps += device.unmaps
        result.devices[number].bytes &+= device.bytes
        local.append(UInt64(number))
      }
      result.events += job.scan.events
      result.odd += job.scan.odd
      for slot in job.scan.early {
        let device = local[Int(slot.what & LeakTable.deviceMask)]
        let what = slot.what & ~LeakTable.deviceMask | device
        if total.remove(slot.address, device) != what { result.odd += 1 }
      }
      let table = job.scan.table
      for index in 0...table.mask where unsafe table.slots[index].what != 0 {
        let slot = unsafe table.slots[index]
        let device = local[Int(slot.what & LeakTable.deviceMask)]
        if !total.put(slot.address, slot.what & ~LeakTable.deviceMask | device) { result.odd += 1 }
      }
      job.scan.deallocate()
    }
    result.left = total.count
    total.deallocate()
    return result
  }
}

/// One stretch of text, read by a thread of its own or by the caller.
@safe
private final class LeakJob: @unchecked Sendable {
  // SAFETY: the text outlives the job; `scan` is touched by one thread until `join`.
  private let from: UnsafePointer<UInt8>
  private let to: UnsafePointer<UInt8>
  var scan = LeakScan()
  private var thread = pthread_t()
  private var runs = false

  /// Whether the text is a file that was mapped and is read for the only time.
  private let isFile: Bool

  init(_ from: UnsafePointer<UInt8>, _ to: UnsafePointer<UInt8>, isFile: Bool) {
    self.isFile = isFile
    unsafe self.from = unsafe from
    unsafe self.to = unsafe to
  }

  func start() {
    let created = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<LeakJob>.fromOpaque(argument).takeUnretainedValue().run()
        return nil
      }, unsafe Unmanaged.passUnretained(self).toOpaque())
    if created == 0 { runs = true } else { run() }
  }

  func run() {
    var scan = self.scan
    if isFile {
      unsafe MappedFile.walk(from, to) { start, end in unsafe scan.scan(start, end) }
    } else {
      unsafe scan.scan(from, to)
    }
    scan.finish()
    self.scan = scan
  }

  func join() {
    if runs { pthread_join(thread, nil) }
  }
}
