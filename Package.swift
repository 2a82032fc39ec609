// swift-tools-version: 6.3

import PackageDescription

/// What every Swift target is built with.
let common: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  // Spans returned from our own types need lifetime dependencies.
  .enableExperimentalFeature("Lifetimes"),
]

/// What targets that also compile in Embedded mode are built with.
///
/// It finds untyped throws, `weak` and the like on the host already; existentials and `Mutex`
/// only show in a real Embedded build, which CI does.
let embeddable: [SwiftSetting] =
  common + [.treatWarning("EmbeddedRestrictions", as: .error)]

let package = Package(
  name: "swift-dma",
  products: [
    .library(name: "DMA", targets: ["DMA"]),
    .library(name: "DMAMapping", targets: ["DMAMapping"]),
    .library(name: "DMAChecker", targets: ["DMAChecker"]),
    .library(name: "GuardPages", targets: ["GuardPages"]),
    .library(name: "PCI", targets: ["PCI"]),
    .library(name: "Drivers", targets: ["Drivers"]),
    .library(name: "AsyncDrivers", targets: ["AsyncDrivers"]),
    .library(name: "SimulatedMachine", targets: ["SimulatedMachine"]),
    .library(name: "QEMUMachine", targets: ["QEMUMachine"]),
    // With Swift's runtime; CLibrary/install makes the one without.
    .library(name: "PCIDMA", type: .static, targets: ["PCIDMA"]),
    .library(name: "VFIOUserMachine", targets: ["VFIOUserMachine"]),
    .library(name: "VFIOMachine", targets: ["VFIOMachine"]),
    .library(name: "DeviceTree", targets: ["DeviceTree"]),
    .library(name: "ACPI", targets: ["ACPI"]),
    .library(name: "DMATrace", targets: ["DMATrace"]),
    .executable(name: "dmatool", targets: ["dmatool"]),
  ],
  traits: [
    .trait(name: "CLI", description: "The dmatool command, which needs swift-argument-parser."),
    .default(enabledTraits: ["CLI"]),
  ],
  dependencies: [
    // Only the command needs it: without the CLI trait it is not even fetched.
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .target(name: "DMASupport"),
    .target(name: "DMA", dependencies: ["DMASupport"], swiftSettings: embeddable),
    .target(name: "DMAMapping", dependencies: ["DMA", "DMASupport"], swiftSettings: embeddable),
    .target(name: "DMAChecker", dependencies: ["DMA", "DMASupport"], swiftSettings: embeddable),
    .target(name: "PCI", dependencies: ["DMA"], swiftSettings: embeddable),
    .target(name: "CGuardPages"),
    .target(
      name: "GuardPages", dependencies: ["CGuardPages", "DMA", "DMAChecker"],
      swiftSettings: embeddable),
    // Machines outside of this process: one protocol, and the tables that the core and PCI call.
    .target(name: "MachineHost", dependencies: ["DMA", "PCI"], swiftSettings: embeddable),
    .target(name: "CSimulatedHost"),
    // RAM that is memory of this process, for every machine that has such RAM.
    .target(
      name: "MachineMemory", dependencies: ["CSimulatedHost", "DMA"], swiftSettings: embeddable),
    .target(
      name: "SimulatedMachine", dependencies: ["CSimulatedHost", "DMA", "MachineMemory", "PCI"],
      swiftSettings: embeddable),
    .target(name: "CQEMUHost"),
    .target(
      name: "QEMUMachine",
      dependencies: ["CQEMUHost", "DMA", "MachineHost", "MachineMemory", "PCI"],
      swiftSettings: embeddable),
    // The classic C functions: headers and what is easier said in C, and the rest.
    .target(name: "CPCIDMA", dependencies: ["DMASupport"]),
    .target(
      name: "PCIDMA",
      dependencies: [
        "CPCIDMA", "CSimulatedHost", "DMA", "DMAChecker", "DMAMapping", "GuardPages", "PCI",
        "QEMUMachine", "SimulatedMachine",
      ],
      swiftSettings: embeddable),
    .target(name: "CVFIO"),
    .target(
      name: "VFIOMachine",
      dependencies: ["CVFIO", "DMA", "DMAMapping", "DMASupport", "MachineHost", "PCI"],
      swiftSettings: common),
    .target(name: "Drivers", dependencies: ["DMA", "PCI"], swiftSettings: embeddable),
    // Drivers for tasks: hosted, on threads of their own.
    .target(name: "AsyncDrivers", dependencies: ["DMA", "Drivers", "PCI"], swiftSettings: common),
    .target(name: "CVFIOUserHost"),
    .target(
      name: "VFIOUserMachine",
      dependencies: ["CVFIOUserHost", "DMA", "MachineHost", "MachineMemory", "PCI"],
      swiftSettings: common),
    // A few packets of the Internet's, for verbs and tests that drive a network card.
    .target(
      name: "NetworkTools", dependencies: ["DMA", "Drivers", "PCI"], swiftSettings: common),
    .target(name: "DeviceTree", swiftSettings: embeddable),
    .target(name: "ACPI", swiftSettings: embeddable),
    .target(name: "DMATrace", dependencies: ["DMA"], swiftSettings: common),
    // Traces against our own mappings: apart, so that readers of traces need no machine.
    .target(
      name: "DMATraceReplay",
      dependencies: ["DMA", "DMAMapping", "DMATrace", "SimulatedMachine"],
      swiftSettings: common),
    .executableTarget(
      name: "dmatool",
      dependencies: [
        "DMA",
        "DMAChecker",
        "DMAMapping",
        "DMATrace",
        "DMATraceReplay",
        "Drivers",
        "NetworkTools",
        "PCI",
        "QEMUMachine",
        "SimulatedMachine",
        "VFIOMachine",
        "VFIOUserMachine",
        .product(
          name: "ArgumentParser", package: "swift-argument-parser",
          condition: .when(traits: ["CLI"])),
      ],
      swiftSettings: common),

    // What runs in the Linux guest of Guest/run: no test target, since it must be one static file.
    .target(name: "CGuestTests", path: "Guest/Sources/CGuestTests"),
    .executableTarget(
      name: "GuestTests",
      dependencies: ["CGuestTests", "DMA", "DMATrace", "Drivers", "PCI", "VFIOMachine"],
      path: "Guest/Sources/GuestTests", swiftSettings: common),

    .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: common),
    // Programs as data: legal ones drawn at random, and changed into wrong ones.
    .target(
      name: "DMAPrograms",
      dependencies: [
        "DMA", "DMAChecker", "DMAMapping", "Drivers", "GuardPages", "PCI", "SimulatedMachine",
      ],
      path: "Tests/DMAPrograms", swiftSettings: common),
    // The long runs of what the tests run short.
    .executableTarget(
      name: "checker-runs", dependencies: ["DMAChecker", "DMAPrograms", "SimulatedMachine"],
      path: "Tests/CheckerRuns", swiftSettings: common),
    .testTarget(
      name: "DMATests", dependencies: ["DMA", "DMAMapping", "SimulatedMachine", "TestSupport"],
      swiftSettings: common),
    .testTarget(
      name: "DMAMappingTests",
      dependencies: ["DMA", "DMAMapping", "DMASupport", "PCI", "SimulatedMachine", "TestSupport"],
      swiftSettings: common),
    .testTarget(
      name: "MisuseTests", dependencies: ["DMA", "TestSupport"], exclude: ["Programs"],
      swiftSettings: common),
    .testTarget(
      name: "DocumentationTests", dependencies: ["TestSupport", "dmatool"],
      swiftSettings: common),
    .testTarget(
      name: "DMAToolTests", dependencies: ["TestSupport", "dmatool"], swiftSettings: common),
    .testTarget(
      name: "MappingTests",
      dependencies: ["DMA", "DMAMapping", "Drivers", "PCI", "SimulatedMachine", "TestSupport"],
      swiftSettings: common),
    .testTarget(
      name: "DMACheckerTests",
      dependencies: [
        "DMA", "DMAChecker", "DMAMapping", "DMAPrograms", "GuardPages", "PCI", "SimulatedMachine",
        "TestSupport",
      ],
      swiftSettings: common),
    .testTarget(
      name: "DriversTests",
      dependencies: [
        "AsyncDrivers", "DMA", "DMAChecker", "DMAMapping", "Drivers", "PCI", "SimulatedMachine",
        "TestSupport",
      ],
      swiftSettings: common),
    .testTarget(
      name: "SimulatedMachineTests",
      dependencies: ["DMA", "DMAMapping", "PCI", "SimulatedMachine"], swiftSettings: common),
    .testTarget(
      name: "QEMUMachineTests",
      dependencies: [
        "DMA", "DMAChecker", "DMAMapping", "Drivers", "NetworkTools", "PCI", "QEMUMachine",
        "TestSupport",
      ],
      swiftSettings: common),
    .testTarget(
      name: "VFIOUserMachineTests",
      dependencies: [
        "CVFIOUserHost", "DMA", "DMAMapping", "Drivers", "PCI", "TestSupport", "VFIOUserMachine",
        "dmatool",
      ],
      swiftSettings: common),
    .testTarget(
      name: "VFIOMachineTests", dependencies: ["DMA", "PCI", "TestSupport", "VFIOMachine"],
      swiftSettings: common),
    .testTarget(
      name: "DeviceTreeTests", dependencies: ["DeviceTree", "TestSupport"],
      swiftSettings: common),
    .testTarget(
      name: "ACPITests", dependencies: ["ACPI", "TestSupport"], swiftSettings: common),
    .testTarget(
      name: "DMATraceTests",
      dependencies: ["DMA", "DMAChecker", "DMATrace", "DMATraceReplay", "TestSupport"],
      swiftSettings: common),
  ]
)
