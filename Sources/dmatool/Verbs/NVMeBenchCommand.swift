#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers

  /// `dmatool nvme bench`: how many reads a second.
  struct NVMeBenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "bench",
      abstract:
        "Measures random reads: one thread, many commands at once, a map and unmap for each.",
      discussion: "Reads only: the image stays as it is. Exit code: 0 done, 1 failed, 2 bad input.")

    @OptionGroup var options: NVMeOptions

    @Option(help: "Bytes of a read; whole blocks.")
    var size = ByteSize(4096)

    @Option(help: "How many reads.")
    var count = 500_000

    @Option(help: "Size of a disk in memory, when there is no image.")
    var disk = ByteSize(1 << 30)

    @Flag(help: "Map each buffer once instead of for each read.")
    var keepMapped = false

    func run() throws {
      let bench = try NVMeBench(options, isReadOnly: true, disk: disk)
      let block = bench.namespace.blockByteCount
      let byteCount = Int(size.byteCount)
      guard byteCount > 0, byteCount % block == 0, byteCount <= bench.nvme.transferByteCountMax,
        UInt64(byteCount) <= bench.namespace.byteCount
      else {
        throw Failure.badInput(
          "--size \(size): whole blocks of \(block) bytes, at most"
            + " \(bench.nvme.transferByteCountMax)")
      }
      guard count > 0 else { throw Failure.badInput("--count takes at least 1") }
      let trips = bench.machine.messageCount
      let begun = HostClock.nanoseconds
      let processorBegun = HostClock.processorNanoseconds
      let machineBegun = bench.platform.nanoseconds
      do throws(NVMeError) {
        try read(bench, byteCount)
      } catch {
        throw Failure.failed(error.description)
      }
      let spent = max(HostClock.nanoseconds - begun, 1)
      let processor = HostClock.processorNanoseconds - processorBegun
      let machineSpent = bench.platform.nanoseconds - machineBegun
      report(
        bench, spent, processor, machineSpent, bench.machine.messageCount.map { $0 - (trips ?? 0) })
    }

    /// Keeps `depth` reads running until all are done.
    private func read(_ bench: NVMeBench, _ byteCount: Int) throws(NVMeError) {
      let queue = bench.queue
      let places = bench.namespace.byteCount / UInt64(byteCount)
      let blocks = UInt64(byteCount / bench.namespace.blockByteCount)
      var random = options.common.seed
      var given = 0
      var done = 0
      while given < min(queue.capacity, count) {
        let buffer: StreamingBuffer
        do throws(DMAError) {
          buffer = try StreamingBuffer(
            byteCount: byteCount, in: bench.platform, placement: bench.machine.placement)
        } catch { throw .dma(error) }
        let first = Self.next(&random) % places * blocks
        try queue.read(
          try Self.map(buffer, queue.device), fromBlock: first, of: bench.namespace
        ).get()
        given += 1
      }
      while done < count {
        guard let completion = try queue.next() else { throw .stopped }
        if let error = completion.error {
          _ = completion.takeTransfer().unmap()
          throw error
        }
        done += 1
        guard case .read(let mapping) = completion.takeTransfer() else { continue }
        guard given < count else {
          _ = mapping.unmap()
          continue
        }
        let first = Self.next(&random) % places * blocks
        let again = keepMapped ? mapping : try Self.map(mapping.unmap(), queue.device)
        try queue.read(again, fromBlock: first, of: bench.namespace).get()
        given += 1
      }
    }

    private static func map(
      _ buffer: consuming StreamingBuffer, _ device: DMADevice
    ) throws(NVMeError) -> StreamingMapping<FromDevice> {
      do throws(DMAError) {
        return try buffer.map(FromDevice.self, for: device).get()
      } catch { throw .dma(error) }
    }

    /// Xorshift: where to read is not to cost more than reading.
    private static func next(_ state: inout UInt64) -> UInt64 {
      state |= 1
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return state
    }

    private func report(
      _ bench: NVMeBench, _ spent: UInt64, _ processor: UInt64, _ machine: UInt64, _ trips: Int?
    ) {
      let rate = UInt64(count) * 1_000_000_000 / spent
      let tripsPer32 = trips.map { Double($0) * 32 / Double(count) }
      let tripText = tripsPer32.map { "\(($0 * 100).rounded() / 100)" }
      switch options.common.format {
      case .text:
        print(
          """
          \(count) reads of \(size) at random, \(bench.queue.capacity) at once, mapping \
          \(options.common.mapping.rawValue)\(keepMapped ? ", kept mapped" : "")
          \(rate) IOPS, \(spent / UInt64(count)) ns each (\(processor / UInt64(count)) ns of this \
          process's processor time), \
          \((rate * size.byteCount) >> 20) MiB/s
          """)
        if let tripText { print("\(tripText) messages to QEMU for 32 reads") }
      case .json:
        print(
          "{\"machine\":\"\(options.common.machine)\","
            + "\"mapping\":\"\(options.common.mapping.rawValue)\",\"reads\":\(count),"
            + "\"bytes\":\(size.byteCount),\"depth\":\(bench.queue.capacity),"
            + "\"iops\":\(rate),\"ns\":\(spent / UInt64(count)),"
            + "\"processor_ns\":\(processor / UInt64(count)),"
            + "\"machine_ns\":\(machine / UInt64(count)),"
            + "\"messages_per_32\":\(tripText ?? "null")}")
      }
    }
  }
#endif
