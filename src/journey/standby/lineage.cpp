#include "standby/lineage.hpp"

#include "base/strings.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

namespace posthorn::standby {

namespace {

constexpr std::string_view lineage_head = "posthorn-lineage", copy_head = "posthorn-copy";
constexpr std::uint64_t longest_line = 1024, last_epoch = 1'000'000'000;
constexpr std::int64_t last_second = 1'000'000'000'000;
constexpr std::array<std::string_view, 3> progress_words{"partial", "whole", "catching-up"};

Error about(std::string_view name, std::string_view what) { return Error{fmt::format("{}: {}", name, what), "4.3.0"}; }

Result<std::optional<std::string>> read_line(spool::FileOps& files, std::string_view name)
{
    std::unique_ptr<spool::File> file;
    if (const int error = files.open(name, spool::Open::read_only, file); error == ENOENT)
        return std::nullopt;
    else if (error != 0)
        return about(name, errno_text(error));
    std::string line(longest_line, '\0');
    std::size_t got = 0;
    if (const int error = file->read(0, line, got); error != 0)
        return about(name, errno_text(error));
    line.resize(got);
    if (line.size() == longest_line || !line.ends_with('\n'))
        return about(name, "it is damaged");
    line.pop_back();
    return line;
}

Result<void> write_line(spool::FileOps& files, std::string_view name, const std::string& line)
{
    const std::string fresh = std::string(name) + ".new";
    std::unique_ptr<spool::File> file;
    int error = files.open(fresh, spool::Open::create, file);
    if (error == 0)
        error = file->truncate(0);                             // a crash may have left one
    if (error == 0)
        error = file->write(0, line);
    if (error == 0)
        error = file->sync();
    file.reset();
    if (error == 0)
        error = files.rename(fresh, name);
    if (error == 0)
        error = files.sync_folder("");
    if (error != 0)
        return about(name, errno_text(error));
    return {};
}

std::int64_t seconds_of(WallTime time) { return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count(); }

Result<WallTime> time_of(std::string_view digits, std::string_view name)
{
    const auto seconds = parse_number(digits);
    if (!seconds || *seconds > static_cast<std::uint64_t>(last_second))
        return about(name, "it is damaged");
    return WallTime{std::chrono::seconds{*seconds}};
}

bool is_identity(std::string_view word)
{
    return word.size() == 32 && std::ranges::all_of(word, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The words of a line that begins as it should, `count` of them behind its head and version.
Result<std::vector<std::string_view>> words_of(std::string_view line, std::string_view head, std::size_t count, std::string_view name)
{
    std::vector<std::string_view> words;
    for (std::size_t at = 0; at <= line.size();) {
        const std::size_t end = std::min(line.find(' ', at), line.size());
        words.push_back(line.substr(at, end - at));
        at = end + 1;
    }
    if (words.size() < 2 || words[0] != head)
        return about(name, "it does not begin as such a file");
    if (words[1] != "1")
        return about(name, "a newer program wrote it");
    words.erase(words.begin(), words.begin() + 2);
    const auto epoch = words.size() == count ? parse_number(words[1]) : std::nullopt;
    if (words.size() != count || !is_identity(words[0]) || !epoch || *epoch == 0 || *epoch > last_epoch)
        return about(name, "it is damaged");
    return words;
}

}  // namespace

std::string host_word(std::string_view host)
{
    constexpr std::size_t longest_host = 255;
    std::string word = printable(host.substr(0, longest_host));
    std::ranges::replace(word, ' ', '_');
    return word.empty() ? "-" : word;
}

LineageSaid said_of(const Lineage& lineage)
{
    LineageSaid said;
    said.set_identity(lineage.identity);
    said.set_epoch(lineage.epoch);
    said.set_host(lineage.host);
    said.set_since(seconds_of(lineage.since));
    return said;
}

Result<Lineage> lineage_of(const LineageSaid& said)
{
    if (!is_identity(said.identity()) || said.epoch() == 0 || said.epoch() > last_epoch || said.since() < 0 || said.since() > last_second)
        return Error{"what it says of its queue is none of ours", "4.3.0"};
    return Lineage{
        .identity = said.identity(), .epoch = said.epoch(), .since = WallTime{std::chrono::seconds{said.since()}}, .host = host_word(said.host())};
}

Result<std::optional<Lineage>> read_lineage(spool::FileOps& files)
{
    TRY(const auto line, read_line(files, lineage_name));
    if (!line)
        return std::nullopt;
    TRY(const auto words, words_of(*line, lineage_head, 4, lineage_name));
    Lineage lineage;
    lineage.identity = words[0];
    lineage.epoch = parse_number(words[1]).value_or(0);
    TRY(lineage.since, time_of(words[2], lineage_name));
    lineage.host = words[3];
    return lineage;
}

Result<void> write_lineage(spool::FileOps& files, const Lineage& lineage)
{
    return write_line(
        files, lineage_name,
        fmt::format("{} 1 {} {} {} {}\n", lineage_head, lineage.identity, lineage.epoch, seconds_of(lineage.since), host_word(lineage.host)));
}

Result<std::optional<CopyMark>> read_copy_mark(spool::FileOps& files)
{
    TRY(const auto line, read_line(files, copy_name));
    if (!line)
        return std::nullopt;
    TRY(const auto words, words_of(*line, copy_head, 5, copy_name));
    const auto progress = std::ranges::find(progress_words, words[2]);
    if (progress == progress_words.end())
        return about(copy_name, "it is damaged");
    CopyMark mark;
    mark.of.identity = words[0];
    mark.of.epoch = parse_number(words[1]).value_or(0);
    mark.progress = static_cast<Progress>(progress - progress_words.begin());
    TRY(mark.in_step, time_of(words[3], copy_name));
    mark.of.host = words[4];
    return mark;
}

Result<void> write_copy_mark(spool::FileOps& files, const CopyMark& mark)
{
    return write_line(files, copy_name,
                      fmt::format("{} 1 {} {} {} {} {}\n", copy_head, mark.of.identity, mark.of.epoch,
                                  progress_words[static_cast<std::size_t>(mark.progress)], seconds_of(mark.in_step), host_word(mark.of.host)));
}

Result<Lineage> lineage_of(spool::FileOps& files, std::string_view host, const Clock& clock)
{
    TRY(auto there, read_lineage(files));
    if (there)
        return *std::move(there);
    Lineage lineage{.identity = {}, .epoch = 1, .since = clock.wall(), .host = std::string(host)};
    for (const char octet : tls::random_octets(16))
        lineage.identity += fmt::format("{:02x}", static_cast<unsigned char>(octet));
    TRY_VOID(write_lineage(files, lineage));
    return lineage;
}

}  // namespace posthorn::standby
