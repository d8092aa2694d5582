# The image of this repository, and what only a cluster needs: Ray's job server and autoscaler, and
# the drivers of an MLflow server on PostgreSQL with an S3-compatible store.
#
#   docker build -f docker/cluster.Dockerfile --build-arg IMAGE=lacuna:0.1.0 -t lacuna-cluster:0.1.0 .
#
# IMAGE has the environment's python first on PATH. Give it by digest (name@sha256:...) where it
# comes from a registry.
ARG IMAGE=lacuna:0.1.0
FROM ${IMAGE}
USER root
RUN python -m pip install --no-cache-dir \
        "ray[default]==2.60.0" boto3==1.44.5 psycopg2-binary==2.9.13 uvloop==0.23.0 && \
    echo "export PATH=$PATH" > /etc/profile.d/lacuna.sh
# (KubeRay starts Ray in a login shell, which would forget PATH.)
USER 10001:10001
ENTRYPOINT []
