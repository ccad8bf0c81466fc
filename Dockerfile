# One image for every role: `sallyport issuer`, `sidecar`, `injector`, and the commands for operators.
# It holds Node, the libraries Node is linked with, and the application: no shell, no package manager, no system tool.
# Both platforms of the base image will do, linux/amd64 and linux/arm64.
ARG NODE_IMAGE=node:26.10.0-trixie-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The npm package `node` is for machines with an older Node; it is a development dependency and so left out here.
RUN npm ci --omit=dev --ignore-scripts

FROM dependencies AS layout
COPY LICENSE ./
COPY bin ./bin
COPY issuer ./issuer
COPY sidecar ./sidecar
COPY shared ./shared
# Seconds: the time of every file, so that the same sources make the same image.
ARG SOURCE_DATE_EPOCH=0
RUN NODE_NO_WARNINGS=1 node bin/image/lay-out.ts /layout

FROM scratch
ARG NODE_IMAGE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sallyport" \
      org.opencontainers.image.description="Stateless JWTs with a logout that works: issuer, sidecar and injector." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${NODE_IMAGE}" \
      sallyport.sbom="/app/sbom.cdx.json"
COPY --from=layout /layout/ /
WORKDIR /app
# No compile cache: what one finds depends on the user's id and on the processor, and the types are gone already.
ENV PATH=/usr/local/bin NODE_ENV=production NODE_DISABLE_COMPILE_CACHE=1 DATA_DIR=/data \
    ISSUER_HOST=0.0.0.0 SIDECAR_HOST=0.0.0.0
# Numeric, so that `runAsNonRoot` of Kubernetes can tell.
USER 1000:1000
EXPOSE 4000 8080 8081 8443 8444
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["sallyport", "health"]
# Node forwards no signal it does not handle: with SIGTERM handled by the program, no init process is needed.
ENTRYPOINT ["sallyport"]
CMD ["issuer"]
