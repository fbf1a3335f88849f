#pragma once

#include <cstdio>
#include <exception>
#include <initializer_list>

/// A test is a function in the table of its program's main; CHECK says what failed and goes on.

inline int g_failures = 0;

#define CHECK(...)                                                                \
  do {                                                                            \
    if (!(__VA_ARGS__)) {                                                         \
      ++g_failures;                                                               \
      std::printf("%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #__VA_ARGS__); \
    }                                                                             \
  } while (false)

struct TestCase {
  const char* name;
  void (*run)();
};

#define TEST_CASE(function) \
  TestCase {                \
    #function, function     \
  }

/// Run them all; the exit code of main.
inline int run_tests(std::initializer_list<TestCase> tests) {
  for (const TestCase& test : tests) {
    const int before = g_failures;
    try {
      test.run();
    } catch (const std::exception& error) {
      ++g_failures;
      std::printf("%s threw: %s\n", test.name, error.what());
    }
    std::printf("%s %s\n", g_failures == before ? "pass" : "FAIL", test.name);
  }
  return g_failures == 0 ? 0 : 1;
}
