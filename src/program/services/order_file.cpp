#include "services/order_file.hpp"

#include "spool/hash.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <memory>

namespace posthorn::services {

namespace {

constexpr std::string_view order_file_head = "posthorn orders 1 ";
constexpr std::size_t hash_digits = 16;

Error orders_not_kept(std::string_view what, int error_number)
{
    const bool full = error_number == ENOSPC || error_number == EDQUOT;
    return Error{fmt::format("orders are not kept: {}: {}", what, errno_text(error_number)), full ? "4.3.1" : "4.3.0"};
}

}  // namespace

std::string order_file_text(const handoff::StoredOrders& orders)
{
    const std::string octets = orders.SerializeAsString();
    return fmt::format("{}{:016x}\n{}", order_file_head, spool::content_hash(octets), octets);
}

Result<handoff::StoredOrders> read_order_file(std::string_view octets)
{
    if (!octets.starts_with(order_file_head))
        return Error{"it does not begin as a file of orders", "4.3.0"};
    octets.remove_prefix(order_file_head.size());
    handoff::StoredOrders orders;
    if (octets.size() <= hash_digits || octets[hash_digits] != '\n')
        return Error{"it is cut off", "4.3.0"};
    const std::string_view content = octets.substr(hash_digits + 1);
    if (octets.substr(0, hash_digits) != fmt::format("{:016x}", spool::content_hash(content)) ||
        !orders.ParseFromArray(content.data(), static_cast<int>(content.size())))
        return Error{"it is damaged", "4.3.0"};
    return orders;
}

OrderFile::Kept OrderFile::read()
{
    const std::string name(order_file);
    std::unique_ptr<spool::File> file;
    if (const int error = files_.open(name, spool::Open::read_only, file); error != 0)
        return {{}, error == ENOENT ? std::string() : fmt::format("{}: {}", name, errno_text(error))};
    std::uint64_t size = 0;
    if (const int error = file->size(size); error != 0)
        return {{}, fmt::format("{}: {}", name, errno_text(error))};
    std::string octets(std::min<std::uint64_t>(size, order_file_octets + 1), '\0');
    std::size_t got = 0;
    if (const int error = file->read(0, octets, got); error != 0)
        return {{}, fmt::format("{}: {}", name, errno_text(error))};
    octets.resize(got);
    auto orders = octets.size() > order_file_octets ? Error{"it is too large", "4.3.0"} : read_order_file(octets);
    if (orders)
        return {*std::move(orders), {}};
    const int error = files_.rename(name, order_file_damaged);
    return {
        {},
        fmt::format("{}: {}; {}", name, orders.error().text(), error == 0 ? fmt::format("it is kept as {}", order_file_damaged) : errno_text(error))};
}

Result<void> OrderFile::replace(const std::string& octets)
{
    const std::string name(order_file), fresh = name + ".new";
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
        return orders_not_kept(fresh, error);
    return {};
}

awaitable<Result<void>> OrderFile::write(handoff::StoredOrders orders)
{
    std::string octets = order_file_text(orders);
    co_return co_await on_thread(threads_, [this, octets = std::move(octets)] { return replace(octets); });
}

}  // namespace posthorn::services
