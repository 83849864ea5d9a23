// Connections of signs of life: who joins and leaves. What they end is in tests/cuda/ranks.sh.

#include "distributed/signs_of_life.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "tensor/check.h"

using namespace vapo;

namespace {

// A port that nobody has, though somebody may take it now.
int free_port() {
  int s = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET, at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(bind(s, reinterpret_cast<sockaddr*>(&at), size) == 0);
  getsockname(s, reinterpret_cast<sockaddr*>(&at), &size);
  close(s);
  return ntohs(at.sin_port);
}
Launch rank_of_three(int64_t rank) { return {.rank = rank, .size = 3, .local_rank = rank, .by = "torchrun"}; }

}  // namespace

TEST_CASE("ranks join in any order, hear each other, take leave, and strangers are not listened to") {
  SignsOptions options{.host = "127.0.0.1", .port = free_port(), .patience = std::chrono::seconds(600)};
  SignsOfLife two(rank_of_three(2), options);  // before rank 0 listens
  SignsOfLife zero(rank_of_three(0), options), one(rank_of_three(1), options);
  int stranger = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET, at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(static_cast<uint16_t>(options.port));
  REQUIRE(connect(stranger, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
  REQUIRE(send(stranger, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL) == 18);
  char byte = 0;
  CHECK(recv(stranger, &byte, 1, 0) <= 0);  // closed, and nothing said
  close(stranger);
  SignsOptions same = options;
  CHECK_THROWS_WITH_AS(SignsOfLife(rank_of_three(0), same), doctest::Contains("cannot listen at port"), InputError);
  one.leave(), two.leave(), zero.leave();
}
