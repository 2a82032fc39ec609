#if CLI
  internal import DMA
  internal import Drivers
  internal import PCI
  internal import SimulatedMachine

  /// A machine with the document's network card on it, the card's driver, and the cable's other end.
  struct NetBench {
    let card: NetworkCard
    let model: NetworkCardModel
    let machine: MachineBench
    let counter = EventCounter()

    init(_ options: MachineOptions) throws {
      var model: NetworkCardModel?
      machine = try MachineBench(
        options,
        DevicePlan(
          name: "card like the document's", vendorID: 0x1234, deviceID: 0x11e9, maskBitCount: 32,
          simulated: { mask in
            var configuration = NetworkCardModel.Configuration()
            configuration.mask = mask.rawValue
            let made = NetworkCardModel(configuration)
            model = made
            return made
          }))
      guard let model else { throw Failure.failed("the machine has no card") }
      self.model = model
      machine.checking.add(counter.observer)
      var driver = NetworkCard.Options()
      driver.mask = machine.mask
      driver.completion = options.interrupt ? .interrupt : .polling
      do throws(NetworkCardError) {
        card = try NetworkCard(machine.device, options: driver)
      } catch {
        throw Failure.failed(error.description)
      }
    }
  }
#endif
