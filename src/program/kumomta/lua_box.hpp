// kumomta/lua_box.hpp: a Lua 5.4 for programs of strangers: it computes, and what it reaches beyond that are the doors it is given.
// Has      base without load, dofile, collectgarbage, coroutines; string without dump; table without move; math, utf8. No io, os, debug; no finalizers.
// Limits   steps, time, memory altogether, one allocation, and what a pattern may cost: then the whole run has failed, whatever pcall(3) would catch.
// Errors   "FILE, line N: ...", as Lua says it.
// Owns     the state. Not for several threads.
#pragma once

#include "base/error.hpp"
#include "kumomta/policy.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::kumomta {

struct Doors {
    /// A recorded call. `event` is left to who listens.
    std::function<void(Call)> record;
    /// A data file, or its text where `text` is not empty ("toml", "json" in `path` then).
    std::function<Result<Value>(const std::string& path, const std::string& text)> data;
    /// The path and text of a module; the path is empty where there is none.
    std::function<std::pair<std::string, std::string>(const std::string& name)> module;
    /// A variable of the environment, for the policy at `place`.
    std::function<std::optional<std::string>(const std::string& name, const Place& place)> environment;
};

struct BoxLimits {
    long long steps = 50'000'000;
    std::chrono::milliseconds time = std::chrono::seconds(20);
    std::size_t memory = 64 << 20, allocation = 1 << 20;
    double pattern = 1e9;  // steps that one match may take in the worst case
};

class LuaBox {
public:
    explicit LuaBox(Doors doors, const BoxLimits& limits = {});
    ~LuaBox();
    LuaBox(LuaBox&&) = delete;

    /// The policy; `path` stands in errors and places.
    Result<void> run(std::string_view text, const std::string& path);
    /// A function of the prelude, by its name.
    Result<Value> ask(const char* function, const std::vector<Value>& arguments);
    /// A limit was reached: nothing more is to be had.
    bool spent() const;

private:
    struct Inside;
    std::unique_ptr<Inside> inside_;
};

/// The Lua text that makes `kumo`, `require` and what they give.
extern const char* const prelude;

}  // namespace posthorn::kumomta
