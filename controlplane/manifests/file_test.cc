#include "controlplane/manifests/file.h"

#include <gtest/gtest.h>

namespace millrace::manifests {
namespace {

// The only problem of `text`, as the log would say it.
std::string problem_of(const std::string& text) {
  const ParsedFile parsed = parse_file("f.yaml", text);
  if (parsed.problems.size() != 1) {
    return std::to_string(parsed.problems.size()) + " problems";
  }
  return parsed.problems[0].text();
}

k8s::Ingress ingress_of(const ParsedFile& parsed, size_t index = 0) {
  return parsed.objects.at(index).body.as<k8s::Ingress>();
}

std::string ingress(const std::string& spec) {
  return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a, namespace: "
         "s}\nspec:\n" +
         spec;
}

TEST(ManifestFile, ReadsAnOrdinaryIngress) {
  const ParsedFile parsed = parse_file("f.yaml", R"(# a comment
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
  creationTimestamp: "2024-01-31T12:00:00Z"
  annotations:
    example.com/number: "7"
spec:
  ingressClassName: millrace
  tls: [{hosts: [a.example], secretName: s}]
  rules:
  - host: a.example
    http:
      paths:
      - path: /x
        pathType: Prefix
        backend:
          service:
            name: web
            port:
              number: 80
)");
  ASSERT_FALSE(parsed.broken()) << parsed.problems[0].text();
  ASSERT_EQ(parsed.objects.size(), 1u);
  EXPECT_EQ(parsed.objects[0].key.text(), "Ingress default/shop");
  EXPECT_EQ(parsed.objects[0].place.text(), "f.yaml:2");
  const k8s::Ingress& got = ingress_of(parsed);
  EXPECT_EQ(got.metadata().creation_timestamp().seconds(), 1706702400);
  EXPECT_EQ(got.metadata().annotations().at("example.com/number"), "7");
  EXPECT_EQ(got.spec().ingress_class_name(), "millrace");
  const auto& path = got.spec().rules(0).value().http().paths(0);
  EXPECT_EQ(path.path_type(), "Prefix");
  EXPECT_EQ(path.backend().service().port().number(), 80);
}

TEST(ManifestFile, ReadsJson) {
  const ParsedFile parsed = parse_file("f.json", R"({
	"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
	"metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io\/service-name": "web"},
	             "creationTimestamp": null},
	"addressType": "IPv4", "ports": null,
	"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": null}}]
})");
  ASSERT_FALSE(parsed.broken()) << parsed.problems[0].text();
  const auto slice = parsed.objects.at(0).body.as<k8s::EndpointSlice>();
  EXPECT_EQ(slice.metadata().labels().at("kubernetes.io/service-name"), "web");
  EXPECT_FALSE(slice.metadata().has_creation_timestamp());
  EXPECT_TRUE(slice.endpoints(0).conditions().has_ready());
  EXPECT_FALSE(slice.endpoints(0).conditions().has_serving());
}

TEST(ManifestFile, ReadsServicesWithNumberedAndNamedTargetPorts) {
  const ParsedFile parsed = parse_file("f.yaml", R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: admin, port: 81, targetPort: web, protocol: TCP}
)");
  ASSERT_FALSE(parsed.broken()) << parsed.problems[0].text();
  EXPECT_EQ(parsed.objects.at(0).body.as<k8s::Service>().spec().ports(1).name(), "admin");
}

TEST(ManifestFile, SeveralDocumentsListsAndOtherKinds) {
  const ParsedFile parsed =
      parse_file("f.yaml", "%YAML 1.2\n---\n# nothing\n---\n" + ingress("  rules: []\n") +
                               R"(...
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: [anything, goes]}
--- # the list
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: {name: one}}
- {apiVersion: v1, kind: Pod, metadata: {name: two}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClassList
items:
- metadata: {name: three, namespace: ignored}
  spec: {controller: x.dev/y}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: not-ours}
)");
  ASSERT_FALSE(parsed.broken()) << parsed.problems[0].text();
  ASSERT_EQ(parsed.objects.size(), 3u);
  EXPECT_EQ(parsed.objects[0].key.text(), "Ingress s/a");
  EXPECT_EQ(parsed.objects[0].place.line, 5);
  EXPECT_EQ(parsed.objects[1].key.text(), "Service default/one");
  EXPECT_EQ(parsed.objects[2].key.text(), "IngressClass three");
}

TEST(ManifestFile, EmptyFilesAreFine) {
  for (const char* text :
       {"", "\n\n", "# only this\n", "---\n", "---\n---\n...\n", "\xef\xbb\xbf---\n"}) {
    const ParsedFile parsed = parse_file("f.yaml", text);
    EXPECT_FALSE(parsed.broken()) << text << parsed.problems[0].text();
    EXPECT_TRUE(parsed.objects.empty());
  }
  EXPECT_FALSE(parse_file("f.yaml", " \n").holds_documents);
  EXPECT_TRUE(parse_file("f.yaml", "# x\n").holds_documents);
}

TEST(ManifestFile, ABrokenDocumentLeavesTheOthers) {
  const ParsedFile parsed =
      parse_file("f.yaml", ingress("  rules: []\n") + "---\nkind: [\n---\n" +
                               "apiVersion: v1\nkind: Service\nmetadata: {name: b}\n");
  ASSERT_EQ(parsed.objects.size(), 2u);
  EXPECT_EQ(parsed.objects[1].key.text(), "Service default/b");
  EXPECT_EQ(parsed.objects[1].place.line, 9);
  ASSERT_EQ(parsed.problems.size(), 1u);
  EXPECT_EQ(parsed.problems[0].place.file, "f.yaml");
  EXPECT_GE(parsed.problems[0].place.line, 7);
  EXPECT_LE(parsed.problems[0].place.line, 9);
  EXPECT_TRUE(parsed.problems[0].sentence.starts_with("this document is not valid YAML: "))
      << parsed.problems[0].sentence;
}

TEST(ManifestFile, WrongTypesNameLineObjectAndField) {
  const std::string in_path =
      "  rules:\n  - http:\n      paths:\n      - path: /\n        pathType: Prefix\n        "
      "backend:\n"
      "          service:\n";
  EXPECT_EQ(
      problem_of(ingress(in_path + "            name: b\n            port: {number: \"80\"}\n")),
      "f.yaml:13: Ingress s/a: spec.rules[0].http.paths[0].backend.service.port.number: a whole "
      "number is wanted, not the string \"80\"");
  EXPECT_EQ(problem_of(ingress(in_path + "            name: 7\n")),
            "f.yaml:12: Ingress s/a: spec.rules[0].http.paths[0].backend.service.name: a string is "
            "wanted, not the number \"7\" (put it in quotes to make it one)");
  EXPECT_EQ(problem_of(ingress("  ingressClassName: no\n")),
            "f.yaml:5: Ingress s/a: spec.ingressClassName: a string is wanted, not the boolean "
            "\"no\" (put it in quotes to make it one)");
  EXPECT_EQ(problem_of(ingress("  rules: {host: a}\n")),
            "f.yaml:5: Ingress s/a: spec.rules: a list is wanted, not a mapping");
  EXPECT_EQ(
      problem_of(ingress("  rules: [a.example]\n")),
      "f.yaml:5: Ingress s/a: spec.rules[0]: a mapping is wanted, not the string \"a.example\"");
  EXPECT_EQ(problem_of(ingress("  rules: [{host: [a]}]\n")),
            "f.yaml:5: Ingress s/a: spec.rules[0].host: a string is wanted, not a list");
  EXPECT_EQ(problem_of(ingress("  rules: [null]\n")),
            "f.yaml:5: Ingress s/a: spec.rules[0]: is null");
  EXPECT_EQ(
      problem_of(ingress("  defaultBackend: x\n")),
      "f.yaml:5: Ingress s/a: spec.defaultBackend: a mapping is wanted, not the string \"x\"");
  EXPECT_EQ(problem_of(ingress("  rules: []\n  rules: []\n")),
            "f.yaml:6: Ingress s/a: spec.rules: stands there twice in one mapping");
  EXPECT_EQ(
      problem_of("apiVersion: v1\nkind: Service\nmetadata: {name: b, creationTimestamp: soon}\n"),
      "f.yaml:3: Service default/b: metadata.creationTimestamp: a time as in "
      "\"2024-01-31T12:00:00Z\" is wanted, not the string \"soon\"");
  EXPECT_EQ(
      problem_of("apiVersion: v1\nkind: Service\nmetadata:\n  name: b\n  labels:\n    x: true\n"),
      "f.yaml:6: Service default/b: metadata.labels[\"x\"]: a string is wanted, not the boolean "
      "\"true\" (put it in quotes to make it one)");
  EXPECT_EQ(
      problem_of("apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: "
                 "99999999999}]}\n"),
      "f.yaml:4: Service default/b: spec.ports[0].port: a whole number is wanted, not the number "
      "\"99999999999\"");
}

TEST(ManifestFile, DocumentsThatAreNoObjects) {
  EXPECT_EQ(problem_of("- a\n"),
            "f.yaml:1: this document is no object: kind and apiVersion are missing");
  EXPECT_EQ(problem_of("hello\n"),
            "f.yaml:1: this document is no object: kind and apiVersion are missing");
  EXPECT_EQ(problem_of("apiVersion: v1\nmetadata: {}\n"), "f.yaml:1: kind is missing");
  EXPECT_EQ(problem_of("kind: Ingress\n"), "f.yaml:1: apiVersion is missing");
  EXPECT_EQ(
      problem_of("apiVersion: networking.k8s.io/v1beta1\nkind: Ingress\nmetadata: {name: a}\n"),
      "f.yaml:1: Ingress default/a: apiVersion \"networking.k8s.io/v1beta1\" is not read, only "
      "networking.k8s.io/v1");
  EXPECT_EQ(problem_of("apiVersion: v1\nkind: Service\n"),
            "f.yaml:1: Service: metadata.name is missing");
  EXPECT_EQ(problem_of("apiVersion: v1\nkind: Service\nmetadata: {name: \"a\\nb\"}\n"),
            "f.yaml:1: Service: metadata.name \"a\\x0ab\" is not a lower-case DNS name");
  EXPECT_EQ(problem_of("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: A}\n"),
            "f.yaml:1: Service a: metadata.namespace \"A\" is not a lower-case DNS name");
  EXPECT_EQ(problem_of("apiVersion: v1\nkind: List\nitems: 3\n"), "f.yaml:3: items is no list");
}

TEST(ManifestFile, PlainScalarsThatOnlyLookOdd) {
  const ParsedFile parsed =
      parse_file("f.yaml", ingress("  rules: [{host: 1.2.3.4}, {host: 12e}, {host: "
                                   "'null'}, {host: !!str 12}, {host: ~}]\n"));
  ASSERT_FALSE(parsed.broken()) << parsed.problems[0].text();
  const k8s::Ingress ingress = ingress_of(parsed);
  const auto& rules = ingress.spec().rules();
  EXPECT_EQ(rules[0].host(), "1.2.3.4");
  EXPECT_EQ(rules[1].host(), "12e");
  EXPECT_EQ(rules[2].host(), "null");
  EXPECT_EQ(rules[3].host(), "12");
  EXPECT_FALSE(rules[4].has_host());
}

TEST(C9ManifestFile, AliasesCannotGrowWithoutBound) {
  std::string text = "x-a: &a [";
  for (int i = 0; i < 2'000; ++i) text += "{port: 1},";
  text += "]\nx-b: &b\n";
  for (int i = 0; i < 2'000; ++i) text += "- {name: a, spec: 1}\n";
  text = "apiVersion: v1\nkind: List\nx-ports: &p [";
  for (int i = 0; i < 5'000; ++i) text += "{port: 1},";
  text += "]\nitems:\n";
  for (int i = 0; i < 1'000; ++i) {
    text += "- {apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: *p}}\n";
  }
  const ParsedFile parsed = parse_file("f.yaml", text);
  EXPECT_LT(parsed.objects.size(), 1'000u);
  ASSERT_FALSE(parsed.problems.empty());
  EXPECT_NE(parsed.problems[0].sentence.find("more than 2000000 values once its aliases"),
            std::string::npos)
      << parsed.problems[0].text();
}

// Some versions of yaml-cpp repeat the anchor's name as it stands in the file.
TEST(C9ManifestFile, ALibrarysSentenceIsFitForTheLog) {
  const std::string said = problem_of("a: *\x1b(2J\n");
  EXPECT_TRUE(said.starts_with("f.yaml:1: this document is not valid YAML: the referenced anchor"))
      << said;
  for (char c : said) EXPECT_TRUE(c >= 0x20 && c < 0x7f);
}

TEST(C9ManifestFile, HostileBytesAreProblemsAndNeverCrash) {
  EXPECT_FALSE(parse_file("f", std::string(100'000, '[')).problems.empty());
  EXPECT_FALSE(parse_file("f", std::string(100'000, '{')).problems.empty());
  EXPECT_FALSE(parse_file("f", std::string("\0\0\0a: b", 7)).problems.empty());
  parse_file("f", "\xff\xfe\x00");
  parse_file("f", "a: &a *a\n");
  parse_file("f", "&a [*a]\n");
  parse_file("f", "apiVersion: v1\nkind: List\nitems: &i [*i]\n");
  parse_file("f", "? {a: b}\n: c\n");
  parse_file("f", "apiVersion: {}\nkind: []\n");
  const std::string megabyte(1 << 20, 'x');
  const ParsedFile parsed =
      parse_file("f", "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {k: \"" +
                          megabyte + "\"}}\n");
  ASSERT_EQ(parsed.objects.size(), 1u);
  for (size_t cut = 0; cut < 400; ++cut) {
    parse_file(
        "f",
        ingress("  rules: [{host: \"a\\u0041\", http: {paths: [{path: '/'}]}}]\n---\nx: |\n a\n")
            .substr(0, cut));
  }
}

}  // namespace
}  // namespace millrace::manifests
