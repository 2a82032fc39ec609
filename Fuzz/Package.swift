// swift-tools-version: 6.3

import PackageDescription

// Fuzz targets, in a package of their own so that users never build them.
//
//   swift run -c release --package-path Fuzz FuzzTrace text 1000000
//   swift run -c release --package-path Fuzz FuzzTrace dat 1000000 a-trace.dat
//   swift run -c release --package-path Fuzz FuzzTrace log 1000000
let package = Package(
  name: "Fuzz",
  dependencies: [.package(name: "swift-dma", path: "..", traits: [])],
  targets: [
    .executableTarget(
      name: "FuzzTrace", dependencies: [.product(name: "DMATrace", package: "swift-dma")])
  ]
)
