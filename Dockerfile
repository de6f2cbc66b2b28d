# Builds longshore and runs it as user 1000 on port 2121; README.md tells how to build, run and try it.

# Both are Debian 12, so that the binary meets the glibc that it was linked with. A mirror's copies can be named instead:
#   docker build --build-arg RUST_IMAGE=mirror.example/rust:1-slim-bookworm .
ARG RUST_IMAGE=rust:1-slim-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12

FROM ${RUST_IMAGE} AS build
WORKDIR /build
ENV CARGO_PROFILE_RELEASE_STRIP=symbols

# The dependencies alone, built for an empty program (and empty benches and tests, where Cargo.toml names them): this layer
# is built again only when Cargo.toml or Cargo.lock change. What was built of the empty program goes, lest cargo take it
# for longshore.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/peers tests/homes \
    && echo 'fn main() {}' | tee src/main.rs benches/peers/main.rs tests/homes/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && cargo clean --release --package longshore

COPY config config
COPY src src
RUN cargo build --release --locked \
    && mkdir -p /image/ftp

# The binary needs glibc and libgcc, and the log of transfers the time zones. This image has them, and no shell and no package
# manager: nothing to break in with, and little to update. What people look around for in a container,
# `docker exec NAME longshore sessions` shows.
FROM ${BASE_IMAGE}
COPY --from=build /build/target/release/longshore /usr/local/bin/
COPY --from=build --chown=1000:1000 /image/ftp /srv/ftp
COPY config/docker.toml /etc/longshore/longshore.toml

# The settings of the image, whatever command is run in it; flags of `docker run` add to them.
ENV LONGSHORE_CONFIG=/etc/longshore/longshore.toml
# Lets FTP_USER, PASV_ADDRESS and the other names hold that users of FTP images know; anywhere else they mean nothing.
ENV LONGSHORE_IMAGE=1
# Where `docker exec` and the health check find the server. It is in memory, so the root may be read-only.
ENV XDG_RUNTIME_DIR=/dev/shm

# By number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 1000:1000
# The only place that is written to: everything else may be read-only.
VOLUME /srv/ftp
# 2121, since not every container runtime lets this user bind 21. The passive ports are those of config/docker.toml.
EXPOSE 2121 61000-61099
# It speaks FTP to the server, without a trace in the session log.
HEALTHCHECK --interval=30s --timeout=15s --start-period=10s CMD ["longshore", "health"]
ENTRYPOINT ["longshore"]
