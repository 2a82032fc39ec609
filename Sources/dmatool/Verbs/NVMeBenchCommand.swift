#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers

  /// `dmatool nvme bench`: how many reads a second.
  struct NVMeBenchCommand: DriverCommand {
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

    func drive() throws -> Checking {
      // Only a disk that is made here has known bytes.
      let isNumbered = options.common.machine == .simulated && options.image == nil
      let bench = try NVMeBench(
        options, isReadOnly: true, disk: disk, isNumbered: isNumbered)
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
      var reader = NVMeReader(
        queue: bench.queue, namespace: bench.namespace, byteCount: byteCount, count: count,
        isKeptMapped: keepMapped, isNumbered: isNumbered, random: options.common.seed)
      let machine = bench.machine
      let before = (machine.messageCount, machine.roundTripCount, bench.platform.nanoseconds)
      let begun = (HostClock.nanoseconds, HostClock.processorNanoseconds)
      do throws(NVMeError) {
        try reader.run(bench.platform, machine.placement)
      } catch {
        throw Failure.failed(error.description)
      }
      report(
        bench,
        Figures(
          spent: max(HostClock.nanoseconds - begun.0, 1),
          processor: HostClock.processorNanoseconds - begun.1,
          machine: bench.platform.nanoseconds - before.2,
          messages: machine.messageCount.map { $0 - (before.0 ?? 0) },
          roundTrips: machine.roundTripCount.map { $0 - (before.1 ?? 0) }))
      guard reader.wrongCount == 0 else {
        throw Failure.failed("\(reader.wrongCount) reads brought other bytes than the disk has")
      }
      return bench.machine.checking
    }

    /// What a run took.
    private struct Figures {
      var spent: UInt64
      var processor: UInt64
      var machine: UInt64
      /// Sent to QEMU in all, and with an answer that was waited for.
      var messages: Int?
      var roundTrips: Int?
    }

    private func report(_ bench: NVMeBench, _ figures: Figures) {
      let total = UInt64(count)
      let rate = total * 1_000_000_000 / figures.spent
      let messages = figures.messages.map { Self.perBatch($0, count) }
      let roundTrips = figures.roundTrips.map { Self.perBatch($0, count) }
      let mapping = options.common.mapping.rawValue
      switch options.common.format {
      case .text:
        print(
          """
          \(count) reads of \(size) at random, \(bench.queue.capacity) at once, mapping \
          \(mapping)\(keepMapped ? ", kept mapped" : "")
          \(rate) IOPS, \(figures.spent / total) ns each (\(figures.processor / total) ns of this \
          process's processor time), \
          \((rate * size.byteCount) >> 20) MiB/s\(bench.mapping.summary(of: options.common.mapping))
          """)
        if let messages, let roundTrips {
          print("\(messages) messages to QEMU for 32 reads, \(roundTrips) of them waited for")
        }
      case .json:
        print(
          "{\"machine\":\"\(options.common.machine)\",\"mapping\":\"\(mapping)\","
            + "\"reads\":\(count),\"bytes\":\(size.byteCount),"
            + "\"depth\":\(bench.queue.capacity),\"iops\":\(rate),"
            + "\"ns\":\(figures.spent / total),\"processor_ns\":\(figures.processor / total),"
            + "\"machine_ns\":\(figures.machine / total),"
            + "\"messages_per_32\":\(messages ?? "null"),"
            + "\"round_trips_per_32\":\(roundTrips ?? "null")}")
      }
    }

    /// How many for 32 reads, with two digits behind the point.
    private static func perBatch(_ number: Int, _ count: Int) -> String {
      "\((Double(number) * 3200 / Double(count)).rounded() / 100)"
    }
  }
#endif
