# Builds longshore and runs it as user 1000 on port 2121; README.md tells how to build, run and try it.

# Both stages are Debian 12, so that the binary meets the glibc that it was linked with.
FROM rust:1-slim-bookworm AS build
WORKDIR /build
ENV CARGO_PROFILE_RELEASE_STRIP=symbols

# The dependencies alone, built for an empty program (and an empty bench, in case Cargo.toml names one): this layer is
# built again only when Cargo.toml or Cargo.lock change. What was built of the empty program goes, lest cargo take it
# for longshore.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/peers \
    && echo 'fn main() {}' | tee src/main.rs benches/peers/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && cargo clean --release --package longshore

COPY src src
RUN cargo build --release --locked

# The binary needs glibc and libgcc, nothing else. An image without a shell would be smaller; this one lets people
# look around with `docker exec`, as a class does.
FROM debian:bookworm-slim
RUN groupadd --gid 1000 longshore \
    && useradd --uid 1000 --gid 1000 --no-log-init --no-create-home --home-dir /srv/ftp --shell /usr/sbin/nologin \
        longshore \
    && install --directory --owner=longshore --group=longshore /srv/ftp
COPY --from=build /build/target/release/longshore /usr/local/bin/
COPY config/docker.toml /etc/longshore/longshore.toml

# By number, so that Kubernetes' runAsNonRoot can tell that it is not root.
USER 1000:1000
# The only place that is written to: everything else may be read-only.
VOLUME /srv/ftp
# 2121, since not every container runtime lets this user bind 21. The passive ports are those of config/docker.toml.
EXPOSE 2121 61000-61099
ENTRYPOINT ["longshore"]
CMD ["--config", "/etc/longshore/longshore.toml"]
