// tables/testing.hpp: what tests of tables need: a folder, a log in memory, a clock turned by hand.
#pragma once

#include "tables/table.hpp"

#include <boost/asio/io_context.hpp>

#include <filesystem>
#include <fstream>

namespace posthorn::tables {

inline std::string text(const Answer& answer) { return !answer ? "error: " + answer.error().what() : answer->value_or("none"); }

/// The base before TestSite of who needs a loop: it ends after the tables do, which keep connections.
struct Loop {
    asio::io_context loop;
};

struct TestSite {
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    HandClock clock;
    Tables tables{observe::Log{sink, "postfix/test"}, clock};
    std::filesystem::path dir;

    TestSite()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "tables-XXXXXX").string();
        dir = ::mkdtemp(pattern.data());
    }
    TestSite(TestSite&&) = delete;
    ~TestSite() { std::filesystem::remove_all(dir); }

    std::string write(const std::string& name, std::string_view text) const
    {
        const auto path = dir / name;
        std::ofstream(dir / "new") << text;
        std::filesystem::rename(dir / "new", path);
        return path.string();
    }
    std::string get(const std::string& spec, std::string_view key, Flags flags = {}) { return text(tables.open(spec, flags)->find(key)); }
    bool said(std::string_view part) const
    {
        return std::ranges::any_of(sink->lines, [&](const std::string& line) { return line.find(part) != line.npos; });
    }
};

}  // namespace posthorn::tables
