#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers
  internal import NetworkTools
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine

  /// `dmatool net ping`: a real card on a real network.
  struct NetPingCommand: DriverCommand {
    static let configuration = CommandConfiguration(
      commandName: "ping",
      abstract: "Gets an address by DHCP with an e1000 card and pings the gateway.",
      discussion: """
        On QEMU the card is on QEMU's user network, which needs no privileges. Answers up to 256 \
        bytes are copied out of their buffer, longer ones are passed on in it.
        Exit code: 0 every ping came back whole, 1 one did not or the card failed, 2 bad input.
        """)

    @Option(help: "How many pings.")
    var count = 100

    @Option(help: "How many bytes each carries.")
    var size = 56

    @OptionGroup(title: "Machine and mapping") var options: MachineOptions

    func validate() throws {
      guard (1...65535).contains(count) else {
        throw ValidationError("--count takes 1 to 65535 pings, not \(count)")
      }
      guard (0...1472).contains(size) else {
        throw ValidationError("--size takes 0 to 1472 bytes, not \(size)")
      }
    }

    func drive() throws -> Checking {
      let machine = try MachineBench(options, Self.plan)
      let counter = EventCounter()
      machine.checking.add(counter.observer)
      let isWhole = try ping(machine, counter)
      guard isWhole else { throw ExitCode(1) }
      return machine.checking
    }

    /// The driver has ended when it returns.
    ///
    /// - Returns: whether every ping came back whole.
    private func ping(_ machine: MachineBench, _ counter: EventCounter) throws -> Bool {
      let card: E1000
      do throws(E1000Error) {
        var driver = E1000.Options()
        driver.mask = machine.mask
        card = try E1000(machine.device, options: driver)
      } catch {
        throw Failure.failed(error.description)
      }
      let probe = NetworkProbe(card)
      let before: E1000.Counters
      let lease: NetworkProbe.Lease
      let neighbour: EthernetAddress
      let result: NetworkProbe.PingResult
      do throws(NetworkProbe.Failure) {
        lease = try probe.requestLease()
        neighbour = try probe.resolve(lease.router)
        before = card.counters
        result = try probe.ping(
          lease.router, at: neighbour, count: count, payloadByteCount: size)
      } catch {
        throw Failure.failed(error.description)
      }
      let frames = card.counters
      let moved = (frames.copied - before.copied, frames.passed - before.passed)
      report(machine, probe, lease, neighbour, result, moved, counter.counts)
      return result.lost == 0 && result.damaged == 0
    }

    private static var plan: DevicePlan {
      DevicePlan(
        name: "e1000 card", vendorID: 0x8086, deviceID: 0x100e,
        simulated: { _ in
          throw Failure.badInput("the simulated machine has no e1000 card: take --machine qemu")
        },
        qemu: { _ in .other("e1000,netdev=net0,romfile=") },
        qemuArguments: ["-netdev", "user,id=net0,restrict=on"])
    }

    private func report(
      _ machine: MachineBench, _ probe: NetworkProbe, _ lease: NetworkProbe.Lease,
      _ neighbour: EthernetAddress, _ result: NetworkProbe.PingResult,
      _ moved: (copied: UInt64, passed: UInt64), _ counts: EventCounter.Counts
    ) {
      let average = result.received == 0 ? 0 : result.total / UInt64(result.received)
      let shortest = result.received == 0 ? 0 : result.shortest
      switch options.format {
      case .text:
        print(
          """
          \(probe.hardware) has \(lease.address) from \(lease.server) for \(lease.seconds) s; \
          gateway \(lease.router) is \(neighbour)
          \(result.sent) pings of \(size) bytes: \(result.received) answers, \(result.lost) lost, \
          \(result.damaged) damaged; \(Self.microseconds(shortest)) / \
          \(Self.microseconds(average)) / \(Self.microseconds(result.longest)) µs
          answers: \(moved.copied) copied, \(moved.passed) passed on in their buffer
          \(counts.maps) maps, \(counts.unmaps) unmaps, \(counts.syncs) syncs, mapping \
          \(options.mapping.rawValue)\(machine.mapping.summary(of: options.mapping))
          """)
      case .json:
        print(
          "{\"machine\":\(Output.quoted("\(options.machine)")),"
            + "\"mapping\":\"\(options.mapping.rawValue)\",\"hardware\":\"\(probe.hardware)\","
            + "\"address\":\"\(lease.address)\",\"gateway\":\"\(lease.router)\","
            + "\"sent\":\(result.sent),\"received\":\(result.received),\"lost\":\(result.lost),"
            + "\"damaged\":\(result.damaged),\"average_ns\":\(average),"
            + "\"copied\":\(moved.copied),\"passed\":\(moved.passed),"
            + "\"maps\":\(counts.maps),\"unmaps\":\(counts.unmaps),\"syncs\":\(counts.syncs)}")
      }
    }

    private static func microseconds(_ nanoseconds: UInt64) -> String {
      "\((nanoseconds + 500) / 1000)"
    }
  }
#endif
