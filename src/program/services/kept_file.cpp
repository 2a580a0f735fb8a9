#include "services/kept_file.hpp"

#include "spool/hash.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <memory>

namespace posthorn::services {

namespace {

constexpr std::size_t hash_digits = 16;

std::string kept_head(std::string_view name) { return fmt::format("posthorn {} 1 ", name); }

Error not_kept(std::string_view name, std::string_view what, int error_number)
{
    const bool full = error_number == ENOSPC || error_number == EDQUOT;
    return Error{fmt::format("{} are not kept: {}: {}", name, what, errno_text(error_number)), full ? "4.3.1" : "4.3.0"};
}

}  // namespace

std::string kept_text(std::string_view name, std::string_view octets)
{
    return fmt::format("{}{:016x}\n{}", kept_head(name), spool::content_hash(octets), octets);
}

Result<std::string_view> kept_octets(std::string_view name, std::string_view text)
{
    const std::string head = kept_head(name);
    if (!text.starts_with(head))
        return Error{fmt::format("it does not begin as a file of {}", name), "4.3.0"};
    text.remove_prefix(head.size());
    if (text.size() <= hash_digits || text[hash_digits] != '\n')
        return Error{"it is cut off", "4.3.0"};
    const std::string_view octets = text.substr(hash_digits + 1);
    if (text.substr(0, hash_digits) != fmt::format("{:016x}", spool::content_hash(octets)))
        return Error{"it is damaged", "4.3.0"};
    return octets;
}

Result<std::optional<std::string>> KeptFile::read()
{
    const std::string name(form_.name);
    std::unique_ptr<spool::File> file;
    if (const int error = files_.open(name, spool::Open::read_only, file); error == ENOENT)
        return std::nullopt;
    else if (error != 0)
        return Error{errno_text(error), "4.3.0"};
    std::uint64_t size = 0;
    if (const int error = file->size(size); error != 0)
        return Error{errno_text(error), "4.3.0"};
    if (size > form_.most)
        return Error{"it is too large; " + set_aside(), "4.3.0"};
    std::string octets(size, '\0');
    std::size_t got = 0;
    if (const int error = file->read(0, octets, got); error != 0)
        return Error{errno_text(error), "4.3.0"};
    octets.resize(got);
    return octets;
}

std::string KeptFile::set_aside()
{
    const std::string aside = std::string(form_.name) + ".damaged";
    const int error = files_.rename(std::string(form_.name), aside);
    return error == 0 ? "it is kept as " + aside : errno_text(error);
}

Result<void> KeptFile::replace(const std::string& octets)
{
    const std::string name(form_.name), fresh = name + ".new";
    std::unique_ptr<spool::File> file;
    int error = files_.open(fresh, spool::Open::create, file);
    if (error == 0)
        error = file->truncate(0);                             // a crash may have left one
    if (error == 0)
        error = file->write(0, octets);
    if (error == 0)
        error = file->sync();
    file.reset();
    if (error == 0)
        error = files_.rename(fresh, name);
    if (error == 0)
        error = files_.sync_folder("");
    if (error != 0)
        return not_kept(form_.name, fresh, error);
    return {};
}

awaitable<Result<void>> KeptFile::write(std::string octets)
{
    co_return co_await on_thread(threads_, [this, octets = std::move(octets)] { return replace(octets); });
}

}  // namespace posthorn::services
