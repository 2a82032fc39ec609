import DMA
import Drivers
import Glibc
import PCI
import SimulatedMachine
import TestSupport
import Testing

/// A file for one test, gone with the object.
final class ScratchFile {
  let path: String

  init(byteCount: Int) throws {
    var template = Array("/tmp/nvme-test-XXXXXX".utf8CString)
    let descriptor = unsafe mkstemp(&template)
    try #require(descriptor >= 0)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let status = ftruncate(descriptor, byteCount)
    close(descriptor)
    try #require(status == 0)
  }

  deinit { unsafe unlink(path) }

  func resize(_ byteCount: Int) throws { try #require(unsafe truncate(path, byteCount) == 0) }
}

/// A medium that has room for a part of what it promises, or fails in places.
final class LimitedStorage: NVMeStorage {
  let room: UInt64

  init(byteCount: UInt64, room: UInt64) {
    self.room = room
    super.init(byteCount: byteCount)
  }

  override func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Outcome {
    .failed(code: 5)
  }

  override func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) -> Outcome {
    offset + UInt64(buffer.count) <= room ? .done : .full
  }
}

@Suite struct ImageTests {
  private func open(_ path: String, isReadOnly: Bool = false) -> NVMeImageError? {
    do throws(NVMeImageError) {
      _ = try NVMeImage(path: path, isReadOnly: isReadOnly)
      return nil
    } catch { return error }
  }

  @Test func `images that cannot be used are typed errors`() throws {
    #expect(open("/no/such/disk.img") == .missing)
    #expect(open("/tmp") == .notAFile)
    #expect(open("/dev/null") == .notAFile)
    for byteCount in [0, 1000] {
      let file = try ScratchFile(byteCount: byteCount)
      #expect(
        open(file.path) == .partialBlock(byteCount: UInt64(byteCount), blockByteCount: 512))
      withExtendedLifetime(file) {}
    }
    let file = try ScratchFile(byteCount: 4096)
    let image = try NVMeImage(path: file.path)
    #expect(open(file.path) == .inUse)
    #expect(open(file.path, isReadOnly: true) == nil)
    #expect(image.byteCount == 4096)
  }

  @Test func `an image that may not be read is a typed error`() throws {
    let file = try ScratchFile(byteCount: 4096)
    try #require(unsafe chmod(file.path, 0o000) == 0)
    guard geteuid() != 0 else {
      print("skipped: root may read everything")
      return
    }
    #expect(open(file.path) == .denied)
  }

  @Test func `what is written is in the file, and in the disk made of it later`() throws {
    let file = try ScratchFile(byteCount: 1 << 20)
    do {
      let bench = try Bench(storage: try NVMeImage(path: file.path))
      let nvme = try bench.open()
      let namespace = try nvme.namespace()
      #expect(namespace.blockCount == 2048)
      var buffer = try bench.buffer(100 * 512)
      try nvme.queues[0].write(from: &buffer, toBlock: 17, of: namespace)
      try nvme.queues[0].writeZeroes(firstBlock: 20, blockCount: 2, of: namespace)
      try nvme.queues[0].flush(namespace)
      try nvme.shutDown()
    }
    let bench = try Bench(storage: try NVMeImage(path: file.path, isReadOnly: true))
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    var got = try StreamingBuffer(byteCount: 100 * 512, in: bench.platform)
    try nvme.queues[0].read(into: &got, fromBlock: 17, of: namespace)
    var expected = Bench.pattern(100 * 512)
    for index in 3 * 512..<5 * 512 { expected[index] = 0 }
    #expect(got.array == expected)
  }

  @Test func `a read-only image refuses writes, in the driver and in the controller`() throws {
    let file = try ScratchFile(byteCount: 4096)
    let bench = try Bench(storage: try NVMeImage(path: file.path, isReadOnly: true))
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    #expect(namespace.isReadOnly)
    let queue = nvme.queues[0]
    var buffer = try bench.buffer(512)
    #expect(throws: NVMeError.readOnly(namespace: 1)) {
      try queue.write(from: &buffer, toBlock: 0, of: namespace)
    }
    #expect(throws: NVMeError.readOnly(namespace: 1)) {
      try queue.writeZeroes(firstBlock: 0, blockCount: 1, of: namespace)
    }
    try queue.read(into: &buffer, fromBlock: 0, of: namespace)
    #expect(buffer.array == [UInt8](repeating: 0, count: 512))
    #expect(counter.live == 0 && counter.livePoolBlocks == 0)
  }

  @Test(arguments: Setup.allCases)
  func `more than the disk holds is refused whole, with nothing mapped`(setup: Setup) throws {
    let bench = try Bench(setup, storage: try NVMeMemory(zeroes: 1 << 20))
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    var buffer = try bench.buffer(2 << 20)
    #expect(throws: NVMeError.outOfRange(firstBlock: 0, blockCount: 4096, limit: 2048)) {
      try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
    }
    // Given as a mapping, it comes back as one.
    let mapping = try StreamingBuffer(byteCount: 1024, for: bench.pci.dma)
      .map(ToDevice.self, for: bench.pci.dma).get()
    switch nvme.queues[0].write(mapping, toBlock: 2047, of: namespace) {
    case .accepted: Issue.record("accepted")
    case .refused(let transfer, let error):
      #expect(error == .outOfRange(firstBlock: 2047, blockCount: 2, limit: 2048))
      _ = transfer.unmap()
    }
    #expect(counter.live == 0 && counter.livePoolBlocks == 0)
    #expect(bench.controller.statistics.writeCommands == 0)
  }

  @Test func `an image that became shorter gives read errors`() throws {
    let file = try ScratchFile(byteCount: 1 << 20)
    let bench = try Bench(storage: try NVMeImage(path: file.path))
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open()
    let namespace = try nvme.namespace()
    try file.resize(512 << 10)
    var buffer = try StreamingBuffer(byteCount: 1 << 20, in: bench.platform)
    #expect(throws: NVMeError.failed(NVMeStatus(type: 2, code: 0x81))) {
      try nvme.queues[0].read(into: &buffer, fromBlock: 0, of: namespace)
    }
    #expect(counter.live == 0 && counter.livePoolBlocks == 0 && !nvme.isStopped)
    try nvme.queues[0].read(into: &buffer, bytes: 0..<4096, fromBlock: 0, of: namespace)
  }

  @Test func `a full medium and a broken one are told apart`() throws {
    let bench = try Bench(storage: LimitedStorage(byteCount: 1 << 20, room: 64 << 10))
    let counter = LiveCounter(bench.pci.dma)
    let nvme = try bench.open { $0.transferByteCountMax = 16 << 10 }
    let namespace = try nvme.namespace()
    var buffer = try bench.buffer(128 << 10)
    #expect(throws: NVMeError.failed(NVMeStatus(type: 0, code: 0x81))) {
      try nvme.queues[0].write(from: &buffer, toBlock: 0, of: namespace)
    }
    #expect(throws: NVMeError.failed(NVMeStatus(type: 2, code: 0x81))) {
      try nvme.queues[0].read(into: &buffer, fromBlock: 0, of: namespace)
    }
    #expect(counter.live == 0 && counter.livePoolBlocks == 0 && !nvme.isStopped)
  }
}
