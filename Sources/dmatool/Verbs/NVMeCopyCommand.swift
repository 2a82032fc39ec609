#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers

  /// `dmatool nvme copy FILE`: a file onto a disk, by DMA.
  struct NVMeCopyCommand: DriverCommand {
    static let configuration = CommandConfiguration(
      commandName: "copy",
      abstract: "Copies a file onto the disk, from its first block on, and compares.",
      discussion: """
        Many commands run at once, each with a buffer of its own; then everything is read back \
        and compared. Bytes of the disk behind the file's end stay as they are.
        Exit code: 0 the bytes are the same, 1 they are not or a transfer failed, 2 bad input.
        """)

    @Argument(help: "The file to copy.")
    var file: String

    @OptionGroup var options: NVMeOptions

    @Flag(inversion: .prefixedNo, help: "Read everything back and compare.")
    var verify = true

    func drive() throws -> Checking {
      let file: OpenFile
      do throws(FileError) { file = try OpenFile(reading: self.file) } catch {
        throw Failure.badInput(error.description)
      }
      let bench = try NVMeBench(options, isReadOnly: false)
      guard UInt64(file.byteCount) <= bench.namespace.byteCount else {
        throw Failure.badInput(
          "\(self.file) has \(file.byteCount) bytes, the disk only \(bench.namespace.byteCount)")
      }
      guard !bench.namespace.isReadOnly else {
        throw Failure.failed(NVMeError.readOnly(namespace: bench.namespace.id).description)
      }
      let counter = EventCounter()
      bench.machine.checking.add(counter.observer)
      let pump = NVMePump(
        queue: bench.queue, namespace: bench.namespace, platform: bench.platform,
        placement: bench.machine.placement, pieceByteCount: pieceByteCount(bench))
      let begun = (host: HostClock.nanoseconds, machine: bench.platform.nanoseconds)
      let written: NVMePump.Result
      var compared: NVMePump.Result?
      var bar = ProgressBar(total: file.byteCount * (verify ? 2 : 1))
      do throws(NVMePump.Stop) {
        written = try pump.write(file) { bar.show($0) }
        if verify { compared = try pump.compare(file) { bar.show(file.byteCount + $0) } }
      } catch {
        bar.clear()
        throw Failure.stopped(error)
      }
      bar.clear()
      let spent = (
        host: HostClock.nanoseconds - begun.host,
        machine: bench.platform.nanoseconds - begun.machine
      )
      do throws(NVMeError) { try bench.nvme.shutDown() } catch {
        throw Failure.failed("shutting down: \(error.description)")
      }
      report(bench, written, compared, counter.counts, spent.host, spent.machine)
      guard compared?.firstDifference == nil else { throw ExitCode(1) }
      return bench.machine.checking
    }

    /// As long as controller and mapping take, in whole pages.
    private func pieceByteCount(_ bench: NVMeBench) -> Int {
      let most = min(
        bench.nvme.transferByteCountMax, bench.queue.device.maxMappingSize, 256 << 10)
      return max(most / 4096 * 4096, 4096)
    }

    private func report(
      _ bench: NVMeBench, _ written: NVMePump.Result, _ compared: NVMePump.Result?,
      _ counts: EventCounter.Counts, _ host: UInt64, _ machine: UInt64
    ) {
      let outcome =
        compared.map { $0.firstDifference.map { "different from byte \($0) on" } ?? "identical" }
      let commandCount = written.commandCount + (compared?.commandCount ?? 0)
      let bounced = bench.mapping.bouncedByteCount
      switch options.common.format {
      case .text:
        let detail = bench.mapping.summary(of: options.common.mapping)
        print(
          """
          \(written.byteCount) bytes onto the disk\(outcome.map { ", read back: \($0)" } ?? "")
          \(commandCount) commands, \(counts.maps) maps, \(counts.unmaps) unmaps, \(counts.live) \
          still mapped, mapping \(options.common.mapping.rawValue)\(detail)
          \(Output.seconds(host)) s, \(Output.seconds(machine)) s of the machine's time
          """)
      case .json:
        print(
          "{\"machine\":\"\(options.common.machine)\","
            + "\"mapping\":\"\(options.common.mapping.rawValue)\",\"bytes\":\(written.byteCount),"
            + "\"identical\":\(compared.map { "\($0.firstDifference == nil)" } ?? "null"),"
            + "\"commands\":\(commandCount),\"maps\":\(counts.maps),\"unmaps\":\(counts.unmaps),"
            + "\"live\":\(counts.live),\"bounced_bytes\":\(bounced),"
            + "\"iommu_commands\":\(bench.mapping.invalidationCount),"
            + "\"entries_left\":\(bench.mapping.liveEntryCount),"
            + "\"seconds\":\(Output.seconds(host)),\"machine_seconds\":\(Output.seconds(machine))}")
      }
    }
  }
#endif
